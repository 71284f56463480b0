//! Why a request was not done, as status code and JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::types::{ErrorBody, Failure};
use crate::actions::ActionError;
use crate::store::StoreError;

/// A failure with the status code that it is answered with.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// The request itself is wrong: it can't be read as what the path takes.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid", message: message.into() }
    }

    /// What was asked makes no sense as things are.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: "invalid", message: message.into() }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not-found", message: message.into() }
    }

    pub(super) fn method() -> Self {
        let message = "this path does not take that method".to_owned();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "invalid", message }
    }

    pub(super) fn too_large(most: u64) -> Self {
        let message = format!("the request is larger than the {most} octets that limits.request_size allows");
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, code: "too-large", message }
    }

    /// Our own fault, or the machine's.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        tracing::error!(%message, "a request failed");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "internal", message }
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NotFound { .. } => Self::not_found(error.to_string()),
            ActionError::Taken { .. } | ActionError::Doubled(_) => {
                Self { status: StatusCode::CONFLICT, code: "conflict", message: error.to_string() }
            }
            ActionError::Refused(_) | ActionError::Mistake(_) => Self::invalid(error.to_string()),
            ActionError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() {
            tracing::warn!(%error, "a request has to be tried again");
            return Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "busy", message: error.to_string() };
        }
        Self::internal(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorBody { code: self.code.to_owned(), message: self.message };
        (self.status, Json(Failure { error })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_status_and_code() {
        let near = vec!["acme".to_owned()];
        for (error, status, code, message) in [
            (
                ActionError::NotFound { what: "property", name: "acm".into(), near },
                404,
                "not-found",
                "there is no property acm; did you mean acme?",
            ),
            (
                ActionError::Taken { what: "slug", name: "acme".into(), by: "Acme".into() },
                409,
                "conflict",
                "slug acme is taken by Acme",
            ),
            (ActionError::refused("no"), 422, "invalid", "no"),
            (StoreError::Closed.into(), 503, "busy", "the store is closed"),
            (StoreError::TooLarge(9).into(), 500, "internal", "a change of 9 bytes is more than one transaction takes"),
        ] {
            let error = ApiError::from(error);
            assert_eq!((error.status.as_u16(), error.code, error.message.as_str()), (status, code, message));
        }
    }
}

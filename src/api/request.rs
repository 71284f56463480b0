//! What handlers take from a request. Whatever can't be read is answered as every other failure.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::App;
use super::failure::ApiError;
use crate::desk::entry::Door;

/// The names in the path.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(error) => Err(ApiError::malformed(error.body_text())),
        }
    }
}

/// The parameters after the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(ApiError::malformed(error.body_text())),
        }
    }
}

/// The body, in JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, app).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::too_large(app.config.limits.request_size)
            } else {
                ApiError::malformed(error.body_text())
            }
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| ApiError::malformed(format!("the body: {error}")))
    }
}

/// Who changes something, and by which door.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) door: Door,
    /// The member who acts, as `as` names him; none for the system.
    pub(super) member: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct As {
    #[serde(rename = "as")]
    member: Option<String>,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let cli = parts.headers.get("guichet-door").is_some_and(|door| door == "cli");
        let Asked(As { member }) = Asked::from_request_parts(parts, app).await?;
        Ok(Self { door: if cli { Door::Cli } else { Door::Api }, member })
    }
}

/// Which page of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) after: Option<String>,
}

impl Page {
    /// `limit` as asked, 50 unless said.
    pub(super) fn of(limit: Option<usize>, after: Option<String>) -> Result<Self, ApiError> {
        match limit.unwrap_or(50) {
            limit @ 1..=500 => Ok(Self { limit, after }),
            limit => Err(ApiError::malformed(format!("limit={limit}: from 1 to 500 of a list at once"))),
        }
    }

    /// Parses `after` as what this list made of its place.
    pub(super) fn place<T: std::str::FromStr>(&self) -> Result<Option<T>, ApiError> {
        let parse = |after: &String| after.parse().map_err(|_| not_of_this_list(after));
        self.after.as_ref().map(parse).transpose()
    }

    /// Cuts this page out of a whole list that is sorted by `key`; answers what `next` is.
    pub(super) fn cut<T>(&self, all: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let later = |item: &T| self.after.as_ref().is_none_or(|after| key(item) > *after);
        let mut page: Vec<T> = all.into_iter().filter(later).take(self.limit + 1).collect();
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let next = page.last().filter(|_| more).map(key);
        (page, next)
    }
}

pub(super) fn not_of_this_list(after: &str) -> ApiError {
    ApiError::malformed(format!("after={after}: not a place in this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned(), "d".to_owned()];
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = Page { limit: 2, after }.cut(all(), Clone::clone);
            seen.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, all());
        assert!(Page::of(Some(0), None).is_err() && Page::of(Some(501), None).is_err());
    }
}

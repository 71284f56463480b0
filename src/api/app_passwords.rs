//! `/members/{address}/app-passwords`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::failure::ApiError;
use super::request::{Body, Caller, Named};
use super::types::{AppPassword, AppPasswords, LastUse, MadeAppPassword, NewAppPassword, Removed};
use crate::actions::{app_password, find};
use crate::desk::login;

pub(super) async fn list(State(app): State<App>, Named(who): Named<String>) -> Result<Json<AppPasswords>, ApiError> {
    let all = app.read(move |tx, _| app_password::list(tx, &who)).await?;
    Ok(Json(AppPasswords { app_passwords: all.into_iter().map(shown).collect() }))
}

pub(super) async fn add(
    State(app): State<App>,
    Named(who): Named<String>,
    caller: Caller,
    Body(new): Body<NewAppPassword>,
) -> Result<(StatusCode, Json<MadeAppPassword>), ApiError> {
    let made = app
        .change(&caller, |tx, act| {
            let (record, password) = app_password::add(tx, act, &who, &new.name)?;
            let address = find::member_by_id(tx, record.member)?.login;
            Ok(MadeAppPassword { address, name: record.name, password, created_at: record.created_at })
        })
        .await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn revoke(
    State(app): State<App>,
    Named((who, name)): Named<(String, String)>,
    caller: Caller,
) -> Result<Json<Removed>, ApiError> {
    let revoked = app.change(&caller, |tx, _| app_password::revoke(tx, &who, &name)).await?;
    Ok(Json(Removed { removed: revoked.name }))
}

fn shown(record: login::AppPassword) -> AppPassword {
    let last_use = record.last_use.map(|last| LastUse {
        at: last.at,
        client: last.client,
        mechanism: last.mechanism.as_str().to_owned(),
    });
    AppPassword { name: record.name, created_at: record.created_at, last_use }
}

//! `/members`

use argon2::{Argon2, PasswordHasher};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

use super::failure::ApiError;
use super::request::{Asked, Body, Caller, Named, Page};
use super::types::{EditMember, Member, Members, NewMember, Removed};
use super::{App, view};
use crate::actions::{find, member, reach};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    property: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Members>, ApiError> {
    let page = Page::of(which.limit, which.after)?;
    let now = Timestamp::now();
    let mut all = app
        .read(move |tx, _| {
            let property = which.property.map(|slug| find::property(tx, &slug)).transpose()?;
            let of_it = |member: &&crate::desk::member::Member| property.as_ref().is_none_or(|of| member.is_of(of.id));
            find::members(tx)?
                .iter()
                .filter(of_it)
                .map(|record| view::member(tx, record, now))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    all.sort_by_key(|member| member.address.key());
    let (members, next) = page.cut(all, |member| member.address.key());
    Ok(Json(Members { members, next }))
}

pub(super) async fn show(State(app): State<App>, Named(who): Named<String>) -> Result<Json<Member>, ApiError> {
    Ok(Json(app.read(move |tx, _| view::member(tx, &find::member(tx, &who)?, Timestamp::now())).await?))
}

pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewMember>,
) -> Result<(StatusCode, Json<Member>), ApiError> {
    let password = hashed(new.password.clone()).await?;
    let added = app
        .change(&caller, |tx, act| {
            let new = new.clone();
            let new = member::New {
                login: new.address,
                name: new.name,
                property: new.property.to_string(),
                role: new.role,
                aliases: new.aliases,
                list: new.list,
                password: password.clone(),
            };
            let record = member::add(tx, act, new)?;
            view::member(tx, &record, act.now)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(added)))
}

pub(super) async fn edit(
    State(app): State<App>,
    Named(who): Named<String>,
    caller: Caller,
    Body(edit): Body<EditMember>,
) -> Result<Json<Member>, ApiError> {
    let password = hashed(edit.password.clone()).await?;
    let edited = app
        .change(&caller, |tx, act| {
            let edit = edit.clone();
            let changes = member::Changes {
                name: edit.name,
                login: edit.address,
                add_aliases: edit.add_aliases,
                remove_aliases: edit.remove_aliases,
                roles: edit.roles,
                remove_properties: edit.remove_properties.iter().map(ToString::to_string).collect(),
                copies: edit.copies,
                password: password.clone(),
            };
            let record = member::edit(tx, act, &who, changes)?;
            view::member(tx, &record, act.now)
        })
        .await?;
    Ok(Json(edited))
}

/// Sends copies to the member again.
pub(super) async fn resume(
    State(app): State<App>,
    Named(who): Named<String>,
    caller: Caller,
) -> Result<Json<Member>, ApiError> {
    let resumed = app
        .change(&caller, |tx, act| {
            let record = reach::resume_member(tx, &who)?;
            view::member(tx, &record, act.now)
        })
        .await?;
    Ok(Json(resumed))
}

pub(super) async fn remove(
    State(app): State<App>,
    Named(who): Named<String>,
    caller: Caller,
) -> Result<Json<Removed>, ApiError> {
    let removed = app.change(&caller, |tx, act| member::remove(tx, act, &who)).await?;
    Ok(Json(Removed { removed: removed.login.to_string() }))
}

/// The most octets of a password.
const LONGEST_PASSWORD: usize = 1_000;

/// A password as it is kept: its Argon2id hash in PHC string format. Takes a while and 19 MiB, on
/// purpose.
async fn hashed(password: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(password) = password else { return Ok(None) };
    if password.is_empty() || password.len() > LONGEST_PASSWORD {
        return Err(ApiError::invalid(format!("a password has from 1 to {LONGEST_PASSWORD} octets")));
    }
    let hash = move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string());
    match tokio::task::spawn_blocking(hash).await {
        Ok(Ok(hash)) => Ok(Some(hash)),
        Ok(Err(error)) => Err(ApiError::internal(format!("the password could not be hashed: {error}"))),
        Err(error) => Err(ApiError::internal(error.to_string())),
    }
}

//! `/properties`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::failure::ApiError;
use super::request::{Asked, Body, Caller, Named, Page};
use super::types::{EditProperty, NewProperty, Properties, Property, Removed};
use super::{App, view};
use crate::actions::{find, property};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    limit: Option<usize>,
    after: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Properties>, ApiError> {
    let page = Page::of(which.limit, which.after)?;
    let mut all = app
        .read(|tx, app| {
            let all = find::properties(tx)?;
            all.iter().map(|record| view::property(tx, &app.desk, record)).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    all.sort_by(|a, b| a.slug.cmp(&b.slug));
    let (properties, next) = page.cut(all, |property| property.slug.to_string());
    Ok(Json(Properties { properties, next }))
}

pub(super) async fn show(State(app): State<App>, Named(slug): Named<String>) -> Result<Json<Property>, ApiError> {
    Ok(Json(app.read(move |tx, app| view::property(tx, &app.desk, &find::property(tx, &slug)?)).await?))
}

pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewProperty>,
) -> Result<(StatusCode, Json<Property>), ApiError> {
    let added = app
        .change(&caller, |tx, act| {
            let NewProperty { slug, name, addresses, public, language } = new.clone();
            let record = property::add(tx, act, property::New { slug, name, addresses, public, language })?;
            view::property(tx, act.desk, &record)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(added)))
}

pub(super) async fn edit(
    State(app): State<App>,
    Named(slug): Named<String>,
    caller: Caller,
    Body(edit): Body<EditProperty>,
) -> Result<Json<Property>, ApiError> {
    let edited = app
        .change(&caller, |tx, act| {
            let edit = edit.clone();
            let changes = property::Changes {
                name: edit.name,
                add_addresses: edit.add_addresses,
                remove_addresses: edit.remove_addresses,
                public: edit.public,
                language: edit.language,
                default_assignee: edit.default_assignee.map(|who| who.unwrap_or_else(|| "none".to_owned())),
                after_reply: edit.after_reply,
                auto_close_days: edit.auto_close_days,
                strict: edit.strict,
                trust: edit.trust,
                distrust: edit.distrust,
                acknowledge: edit.acknowledge,
                acknowledgements: edit.acknowledgements,
                commands: edit.commands,
                add_forwarders: edit.add_forwarders,
                remove_forwarders: edit.remove_forwarders,
                block: edit.block,
                unblock: edit.unblock,
                allow: edit.allow,
                disallow: edit.disallow,
            };
            let record = property::edit(tx, act, &slug, changes)?;
            view::property(tx, act.desk, &record)
        })
        .await?;
    Ok(Json(edited))
}

pub(super) async fn remove(
    State(app): State<App>,
    Named(slug): Named<String>,
    caller: Caller,
) -> Result<Json<Removed>, ApiError> {
    let removed = app.change(&caller, |tx, act| property::remove(tx, act, &slug)).await?;
    Ok(Json(Removed { removed: removed.slug.to_string() }))
}

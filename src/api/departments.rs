//! `/departments`, and `/properties/{slug}/departments`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::failure::ApiError;
use super::request::{Asked, Body, Caller, Named, Page};
use super::types::{Department, Departments, EditDepartment, NewDepartment, Removed};
use super::{App, view};
use crate::actions::{department, find};
use crate::desk::address::Address;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    property: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Departments>, ApiError> {
    let page = Page::of(which.limit, which.after)?;
    let mut all = app
        .read(move |tx, app| {
            let properties = match which.property {
                Some(slug) => vec![find::property(tx, &slug)?],
                None => find::properties(tx)?,
            };
            let mut all = Vec::new();
            for property in properties {
                for record in find::departments(tx, property.id)? {
                    all.push(view::department(tx, &app.desk, &record)?);
                }
            }
            Ok(all)
        })
        .await?;
    let key = |department: &Department| format!("{}+{}", department.property, department.slug);
    all.sort_by_key(key);
    let (departments, next) = page.cut(all, key);
    Ok(Json(Departments { departments, next }))
}

pub(super) async fn show(
    State(app): State<App>,
    Named((property, slug)): Named<(String, String)>,
) -> Result<Json<Department>, ApiError> {
    let shown = app.read(move |tx, app| {
        let property = find::property(tx, &property)?;
        view::department(tx, &app.desk, &find::department(tx, &property, &slug)?)
    });
    Ok(Json(shown.await?))
}

pub(super) async fn add(
    State(app): State<App>,
    Named(property): Named<String>,
    caller: Caller,
    Body(new): Body<NewDepartment>,
) -> Result<(StatusCode, Json<Department>), ApiError> {
    let added = app
        .change(&caller, |tx, act| {
            let NewDepartment { slug, name, members } = new.clone();
            let record = department::add(tx, &property, slug, &name, texts(&members))?;
            view::department(tx, act.desk, &record)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(added)))
}

pub(super) async fn edit(
    State(app): State<App>,
    Named((property, slug)): Named<(String, String)>,
    caller: Caller,
    Body(edit): Body<EditDepartment>,
) -> Result<Json<Department>, ApiError> {
    let edited = app
        .change(&caller, |tx, act| {
            let changes = department::Changes {
                name: edit.name.clone(),
                add_members: texts(&edit.add_members),
                remove_members: texts(&edit.remove_members),
            };
            let record = department::edit(tx, &property, &slug, changes)?;
            view::department(tx, act.desk, &record)
        })
        .await?;
    Ok(Json(edited))
}

pub(super) async fn remove(
    State(app): State<App>,
    Named((property, slug)): Named<(String, String)>,
    caller: Caller,
) -> Result<Json<Removed>, ApiError> {
    let removed = app.change(&caller, |tx, act| department::remove(tx, act, &property, &slug)).await?;
    Ok(Json(Removed { removed: format!("{property}+{}", removed.slug) }))
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

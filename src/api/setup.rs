//! `/members/{address}/setup`: what a member's mail client is told.

use axum::Json;
use axum::extract::State;

use super::App;
use super::failure::ApiError;
use super::request::Named;
use super::types::{Identity, Security, ServerPort, Setup};
use crate::actions::{ActionError, find};
use crate::config::Certificates;
use crate::config::clients::{self, Clients};
use crate::desk::member::Member;
use crate::store::Read;

pub(super) async fn show(State(app): State<App>, Named(who): Named<String>) -> Result<Json<Setup>, ApiError> {
    let setup = app.read(move |tx, app| {
        let member = find::member(tx, &who)?;
        if member.list {
            let text = format!("{} is a list, which has no login: set up whoever reads it", member.login);
            return Err(ActionError::refused(text));
        }
        of(tx, app, &member)
    });
    Ok(Json(setup.await?))
}

fn of(tx: &impl Read, app: &App, member: &Member) -> Result<Setup, ActionError> {
    let clients = app.config.clients();
    let self_signed = app.config.tls.certificates == Certificates::SelfSigned;
    // Who does not know the certificate gets no profile, and asks nothing.
    let web = !app.config.web.listen_tls.is_empty() && !self_signed;
    let complete = clients.are_served() && !clients.submission.is_empty();
    Ok(Setup {
        address: member.login.clone(),
        name: member.name.clone(),
        imap: ports(&clients, &clients.imap),
        smtp: ports(&clients, &clients.submission),
        identities: identities(tx, app, member)?,
        finds_itself: clients.are_served() && web && app.names.leads_clients_of(member.login.domain()),
        apple: (web && complete).then(|| clients.apple_url(member.login.as_str())),
        self_signed,
    })
}

fn ports(clients: &Clients, ports: &[clients::Port]) -> Vec<ServerPort> {
    let port = |port: &clients::Port| ServerPort {
        host: clients.hostname.to_string(),
        port: port.number,
        security: match port.security {
            clients::Security::Tls => Security::Tls,
            clients::Security::StartTls => Security::Starttls,
        },
    };
    ports.iter().map(port).collect()
}

/// The addresses that he may write as, of each property where he has a role: the one that contacts
/// see first.
fn identities(tx: &impl Read, app: &App, member: &Member) -> Result<Vec<Identity>, ActionError> {
    let mut identities = Vec::new();
    for property in member.roles.keys() {
        let property = find::property_by_id(tx, *property)?;
        if property.removed {
            continue;
        }
        let local = app.config.domains.iter().map(|domain| property.forwarding_address(domain.as_str()));
        let mut addresses: Vec<_> = local.chain(property.addresses.iter().cloned()).collect();
        if let Some(public) = property.public.clone() {
            addresses.insert(if property.public_verified { 0 } else { addresses.len() }, public);
        }
        identities.extend(addresses.into_iter().map(|address| Identity {
            address,
            name: property.name.clone(),
            property: property.slug.clone(),
        }));
    }
    Ok(identities)
}

//! Members: added, changed, removed.

use std::collections::BTreeMap;

use super::property::check_name;
use super::{Act, ActionError, app_password, claim, copies, find, state, views};
use crate::desk::address::Address;
use crate::desk::fanout::Colleague;
use crate::desk::id::{MemberId, PropertyId};
use crate::desk::member::{Member, Role};
use crate::desk::property::Property;
use crate::desk::ticket::{Assignee, Person};
use crate::store::tables::{
    AUDIENCES, DEPARTMENTS, MEMBER_ADDRESSES, MEMBER_IDS, MEMBERS, PROPERTIES, PUBLIC_ADDRESSES,
};
use crate::store::{Read, Tx};

/// A member to add.
#[derive(Clone, Debug)]
pub struct New {
    pub login: Address,
    pub name: String,
    pub property: String,
    pub role: Role,
    pub aliases: Vec<Address>,
    pub list: bool,
    /// The hash of his password.
    pub password: Option<String>,
}

/// What is to change; `None` and empty lists leave it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    /// A new login address; the one before stays as an alias.
    pub login: Option<Address>,
    pub add_aliases: Vec<Address>,
    pub remove_aliases: Vec<Address>,
    /// Roles to give or change, by the property's slug.
    pub roles: BTreeMap<String, Role>,
    pub remove_properties: Vec<String>,
    pub copies: Option<bool>,
    pub password: Option<String>,
}

/// Adds a member. What a system administrator adds counts as verified.
pub fn add(tx: &mut Tx<'_>, act: &Act<'_>, new: New) -> Result<Member, ActionError> {
    let property = find::property(tx, &new.property)?;
    if new.list && new.password.is_some() {
        return Err(ActionError::refused("a list member has no login and so no password"));
    }
    let mut member = Member {
        id: MemberId(tx.allocate(&MEMBER_IDS, &())?),
        name: check_name(&new.name)?,
        login: new.login.clone(),
        aliases: Vec::new(),
        list: new.list,
        roles: BTreeMap::from([(property.id, new.role)]),
        password: new.password,
        copies: true,
        created_at: act.now,
        removed: false,
    };
    take(tx, act, &member, &new.login)?;
    for alias in new.aliases {
        add_alias(tx, act, &mut member, alias)?;
    }
    keep(tx, &member)?;
    Ok(member)
}

/// Changes a member.
pub fn edit(tx: &mut Tx<'_>, act: &Act<'_>, who: &str, changes: Changes) -> Result<Member, ActionError> {
    let mut member = find::member(tx, who)?;
    if let Some(name) = changes.name {
        member.name = check_name(&name)?;
    }
    for alias in changes.remove_aliases {
        if !member.aliases.contains(&alias) {
            if claim::withdraw(tx, act, member.id, &alias)? {
                continue;
            }
            return Err(ActionError::NotFound {
                what: "alias",
                name: format!("{alias} of {}", member.login),
                near: member.aliases.iter().map(ToString::to_string).take(3).collect(),
            });
        }
        member.aliases.retain(|known| *known != alias);
        tx.delete(&MEMBER_ADDRESSES, &alias);
    }
    for alias in changes.add_aliases {
        add_alias(tx, act, &mut member, alias)?;
    }
    if let Some(login) = changes.login {
        let known = member.login.clone();
        if member.aliases.contains(&login) {
            member.aliases.retain(|alias| *alias != login);
        } else if login != known {
            take(tx, act, &member, &login)?;
        }
        if login != known {
            member.aliases.push(known);
        }
        member.login = login;
    }
    for (slug, role) in changes.roles {
        let property = find::property(tx, &slug)?;
        member.roles.insert(property.id, role);
    }
    for slug in changes.remove_properties {
        let property = find::property(tx, &slug)?;
        if member.roles.remove(&property.id).is_none() {
            return Err(ActionError::refused(format!("{} has no role in {}", member.login, property.slug)));
        }
        leave(tx, act, &member, property.id)?;
    }
    if let Some(copies) = changes.copies {
        member.copies = copies;
    }
    if let Some(password) = changes.password {
        if member.list {
            return Err(ActionError::refused("a list member has no login and so no password"));
        }
        member.password = Some(password);
    }
    keep(tx, &member)?;
    views::rights_changed(tx, member.id)?;
    Ok(member)
}

/// Removes a member: his tickets go to the default assignee, what waits for him is cancelled, his
/// passwords end, his addresses are free and his reply addresses count as the bare address.
pub fn remove(tx: &mut Tx<'_>, act: &Act<'_>, who: &str) -> Result<Member, ActionError> {
    let mut member = find::member(tx, who)?;
    for address in std::iter::once(&member.login).chain(&member.aliases) {
        tx.delete(&MEMBER_ADDRESSES, address);
    }
    let properties: Vec<PropertyId> = std::mem::take(&mut member.roles).into_keys().collect();
    claim::forget(tx, member.id)?;
    member.password = None;
    member.removed = true;
    app_password::revoke_all(tx, member.id)?;
    keep(tx, &member)?;
    for property in properties {
        leave(tx, act, &member, property)?;
    }
    Ok(member)
}

/// Saves a member.
fn keep(tx: &mut Tx<'_>, member: &Member) -> Result<(), ActionError> {
    let before = tx.get(&MEMBERS, &member.id)?;
    for property in before.iter().chain([member]).flat_map(|member| member.roles.keys()) {
        tx.delete(&AUDIENCES, property);
    }
    Ok(tx.put(&MEMBERS, &member.id, member)?)
}

/// Who is told by mail of a ticket that nobody works on: the default assignee, else all members who want
/// copies.
pub fn audience(tx: &mut Tx<'_>, property: &Property) -> Result<Vec<Colleague>, ActionError> {
    let default = find::colleagues(tx, property.id, property.default_assignee)?;
    if !default.is_empty() {
        return Ok(default);
    }
    // So what arrives costs as much as it makes copies, and not as much as there are members.
    let ids = if let Some(ids) = tx.get(&AUDIENCES, &property.id)? {
        ids
    } else {
        let members = find::members(tx)?.into_iter();
        let ids = members.filter(|member| member.hears_of(property.id)).map(|member| member.id).collect();
        tx.put(&AUDIENCES, &property.id, &ids)?;
        ids
    };
    ids.into_iter().map(|id| Ok(find::colleague(&find::member_by_id(tx, id)?))).collect()
}

/// What happens in a property that a member leaves.
fn leave(tx: &mut Tx<'_>, act: &Act<'_>, member: &Member, property: PropertyId) -> Result<(), ActionError> {
    let him = Some(Assignee::Member(member.id));
    let mut property = find::property_by_id(tx, property)?;
    if property.default_assignee == him {
        property.default_assignee = None;
        tx.put(&PROPERTIES, &property.id, &property)?;
    }
    for mut department in find::departments(tx, property.id)? {
        if department.members.contains(&member.id) {
            department.members.retain(|id| *id != member.id);
            tx.put(&DEPARTMENTS, &department.id, &department)?;
        }
    }
    let person = Person::Member(member.id);
    state::left(tx, act, property.id, Assignee::Member(member.id), |ticket| {
        ticket.participants.retain(|participant| participant.person != person);
    })?;
    copies::cancel_all(tx, act, Person::Member(member.id), property.id)
}

/// One more address that counts as his; the record is the caller's to save.
pub(super) fn add_alias(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    member: &mut Member,
    alias: Address,
) -> Result<(), ActionError> {
    if !member.has(&alias) {
        take(tx, act, member, &alias)?;
        member.aliases.push(alias);
    }
    Ok(())
}

/// Makes an address a member's, if it is nobody's and not ours.
fn take(tx: &mut Tx<'_>, act: &Act<'_>, member: &Member, address: &Address) -> Result<(), ActionError> {
    is_free(tx, act, address)?;
    Ok(tx.put(&MEMBER_ADDRESSES, address, &member.id)?)
}

/// Whether an address can become a member's; the error says whose it is.
pub(super) fn is_free(tx: &impl Read, act: &Act<'_>, address: &Address) -> Result<(), ActionError> {
    if let Some(id) = tx.get(&MEMBER_ADDRESSES, address)? {
        let by = find::member_by_id(tx, id)?.name;
        return Err(ActionError::Taken { what: "address", name: address.to_string(), by });
    }
    if let Some(id) = tx.get(&PUBLIC_ADDRESSES, address)? {
        let by = format!("the property {}", find::property_by_id(tx, id)?.slug);
        return Err(ActionError::Taken { what: "address", name: address.to_string(), by });
    }
    if act.desk.is_local(address) {
        return Err(ActionError::refused(format!(
            "{address} is in a domain of this server, which has no mailboxes of its own; a member's address is elsewhere"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::property;
    use crate::actions::testing::Office;
    use crate::actions::verify::references;

    async fn heard(office: &Office) -> Vec<String> {
        office
            .act(|tx, _| {
                let acme = find::property(tx, "acme")?;
                Ok(audience(tx, &acme)?.into_iter().map(|one| one.address.local().to_owned()).collect())
            })
            .await
            .unwrap()
    }

    async fn edited(office: &Office, who: &str, changes: Changes) {
        office.act(|tx, act| edit(tx, act, who, changes.clone()).map(drop)).await.unwrap();
        assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
    }

    #[tokio::test]
    async fn who_hears_of_what_nobody_works_on_follows_who_wants_to() {
        let office = Office::open().await;
        assert_eq!(heard(&office).await, ["alice", "bob"]);
        edited(&office, "bob", Changes { copies: Some(false), ..Changes::default() }).await;
        assert_eq!(heard(&office).await, ["alice"]);
        edited(&office, "bob", Changes { copies: Some(true), ..Changes::default() }).await;
        assert_eq!(heard(&office).await, ["alice", "bob"]);
        edited(&office, "alice", Changes { remove_properties: vec!["acme".into()], ..Changes::default() }).await;
        assert_eq!(heard(&office).await, ["bob"]);
        let back = BTreeMap::from([("acme".to_owned(), Role::Agent)]);
        edited(&office, "alice", Changes { roles: back, ..Changes::default() }).await;
        assert_eq!(heard(&office).await, ["alice", "bob"]);
        let new = New {
            login: "dora@team.example".parse().unwrap(),
            name: "Dora".into(),
            property: "acme".into(),
            role: Role::Agent,
            aliases: Vec::new(),
            list: false,
            password: None,
        };
        office.act(|tx, act| add(tx, act, new.clone()).map(drop)).await.unwrap();
        assert_eq!(heard(&office).await, ["alice", "bob", "dora"]);
        office.act(|tx, act| remove(tx, act, "alice").map(drop)).await.unwrap();
        assert_eq!(heard(&office).await, ["bob", "dora"]);
        let default = property::Changes { default_assignee: Some("dora".into()), ..Default::default() };
        office.act(|tx, act| property::edit(tx, act, "acme", default.clone()).map(drop)).await.unwrap();
        assert_eq!(heard(&office).await, ["dora"]);
        assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
    }
}

//! Departments: added, changed, removed.

use super::property::check_name;
use super::{Act, ActionError, find, state, views};
use crate::desk::department::Department;
use crate::desk::id::{DepartmentId, MemberId};
use crate::desk::property::Property;
use crate::desk::slug::DepartmentSlug;
use crate::desk::ticket::Assignee;
use crate::store::tables::{DEPARTMENT_IDS, DEPARTMENT_SLUGS, DEPARTMENTS, PROPERTIES};
use crate::store::{Read, Tx};

/// What is to change; `None` and empty lists leave it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub add_members: Vec<String>,
    pub remove_members: Vec<String>,
}

/// Adds a department to a property.
pub fn add(
    tx: &mut Tx<'_>,
    property: &str,
    slug: DepartmentSlug,
    name: &str,
    members: Vec<String>,
) -> Result<Department, ActionError> {
    let property = find::property(tx, property)?;
    if let Some(id) = tx.get(&DEPARTMENT_SLUGS, &(property.id, slug.clone()))? {
        let by = find::department_by_id(tx, id)?.name;
        return Err(ActionError::Taken { what: "slug", name: slug.to_string(), by });
    }
    let mut department = Department {
        id: DepartmentId(tx.allocate(&DEPARTMENT_IDS, &())?),
        property: property.id,
        slug,
        name: check_name(name)?,
        members: Vec::new(),
        removed: false,
    };
    let changes = Changes { add_members: members, ..Changes::default() };
    apply(tx, &property, &mut department, changes)?;
    tell(tx, &department.members)?;
    tx.put(&DEPARTMENT_SLUGS, &(property.id, department.slug.clone()), &department.id)?;
    tx.put(&DEPARTMENTS, &department.id, &department)?;
    Ok(department)
}

/// Changes a department.
pub fn edit(tx: &mut Tx<'_>, property: &str, slug: &str, changes: Changes) -> Result<Department, ActionError> {
    let property = find::property(tx, property)?;
    let mut department = find::department(tx, &property, slug)?;
    let before = department.members.clone();
    apply(tx, &property, &mut department, changes)?;
    let changed = |members: &[MemberId], others: &[MemberId]| -> Vec<MemberId> {
        members.iter().copied().filter(|member| !others.contains(member)).collect()
    };
    tell(tx, &changed(&before, &department.members))?;
    tell(tx, &changed(&department.members, &before))?;
    tx.put(&DEPARTMENTS, &department.id, &department)?;
    Ok(department)
}

/// Removes a department: its tickets go to the default assignee, and its slug becomes free.
pub fn remove(tx: &mut Tx<'_>, act: &Act<'_>, property: &str, slug: &str) -> Result<Department, ActionError> {
    let mut property = find::property(tx, property)?;
    let mut department = find::department(tx, &property, slug)?;
    tx.delete(&DEPARTMENT_SLUGS, &(property.id, department.slug.clone()));
    tell(tx, &std::mem::take(&mut department.members))?;
    department.removed = true;
    tx.put(&DEPARTMENTS, &department.id, &department)?;
    if property.default_assignee == Some(Assignee::Department(department.id)) {
        property.default_assignee = None;
        tx.put(&PROPERTIES, &property.id, &property)?;
    }
    state::left(tx, act, property.id, Assignee::Department(department.id), |_| ())?;
    Ok(department)
}

/// Sessions of those whose mailboxes show other things now are to look round.
fn tell(tx: &mut Tx<'_>, members: &[MemberId]) -> Result<(), ActionError> {
    for member in members {
        views::rights_changed(tx, *member)?;
    }
    Ok(())
}

fn apply(
    tx: &impl Read,
    property: &Property,
    department: &mut Department,
    changes: Changes,
) -> Result<(), ActionError> {
    if let Some(name) = changes.name {
        department.name = check_name(&name)?;
    }
    for who in changes.remove_members {
        let member = member_of(tx, property, &who)?;
        department.members.retain(|id| *id != member);
    }
    for who in changes.add_members {
        let member = member_of(tx, property, &who)?;
        if !department.members.contains(&member) {
            department.members.push(member);
        }
    }
    Ok(())
}

fn member_of(tx: &impl Read, property: &Property, who: &str) -> Result<MemberId, ActionError> {
    let member = find::member(tx, who)?;
    if !member.is_of(property.id) {
        return Err(ActionError::refused(format!(
            "{} has no role in {}; give him one with: guichet member edit {} --property {}",
            member.login, property.slug, member.login, property.slug
        )));
    }
    Ok(member.id)
}

//! Departments: named groups of members of one property.

use serde::{Deserialize, Serialize};

use super::id::{DepartmentId, MemberId, PropertyId};
use super::slug::DepartmentSlug;

/// A department as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Department {
    pub id: DepartmentId,
    pub property: PropertyId,
    pub slug: DepartmentSlug,
    pub name: String,
    pub members: Vec<MemberId>,
    /// A removed department keeps its name in the history of tickets.
    pub removed: bool,
}

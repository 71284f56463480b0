//! The names under which the desk takes mail, as the store has them.

use crate::desk::address::Address;
use crate::desk::id::{DepartmentId, PropertyId};
use crate::desk::recipient::Directory;
use crate::desk::slug::{DepartmentSlug, PropertySlug};
use crate::store::tables::{DEPARTMENT_SLUGS, PROPERTIES, PROPERTY_ADDRESSES, PROPERTY_SLUGS};
use crate::store::{Order, Read, StoreError};

/// A view of the store as a [`Directory`].
pub struct StoredDirectory<'a, R> {
    pub tx: &'a R,
    /// The property that is configured to get `postmaster@`.
    pub postmaster: Option<&'a PropertySlug>,
}

impl<R: Read> Directory for StoredDirectory<'_, R> {
    type Error = StoreError;

    fn property(&self, slug: &PropertySlug) -> Result<Option<PropertyId>, StoreError> {
        let Some(id) = self.tx.get(&PROPERTY_SLUGS, slug)? else { return Ok(None) };
        let property = self.tx.get(&PROPERTIES, &id)?;
        Ok(property.filter(|property| !property.removed).map(|property| property.id))
    }

    fn property_at(&self, address: &Address) -> Result<Option<PropertyId>, StoreError> {
        self.tx.get(&PROPERTY_ADDRESSES, address)
    }

    fn department(&self, property: PropertyId, slug: &DepartmentSlug) -> Result<Option<DepartmentId>, StoreError> {
        self.tx.get(&DEPARTMENT_SLUGS, &(property, slug.clone()))
    }

    /// The configured one; without it the oldest, since these addresses always work (RFC 5321
    /// §4.5.1, RFC 2142 §5).
    fn postmaster(&self) -> Result<Option<PropertyId>, StoreError> {
        if let Some(slug) = self.postmaster
            && let Some(property) = self.property(slug)?
        {
            return Ok(Some(property));
        }
        let all = self.tx.range(&PROPERTIES, .., Order::Up, 1_000)?;
        Ok(all.into_iter().find(|(_, property)| !property.removed).map(|(id, _)| id))
    }
}

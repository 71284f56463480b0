//! `guichet department`

use clap::{Args, Subcommand};

use super::client::Call;
use super::output::{Output, Table, list, person};
use super::{Desk, Failure, change};
use crate::api::types::{Department, Departments, EditDepartment, NewDepartment, Removed};
use crate::desk::address::Address;
use crate::desk::slug::{DepartmentSlug, PropertySlug};

#[derive(Debug, Subcommand)]
pub(super) enum DepartmentCommand {
    /// Add a department
    #[command(after_help = "\
Example:
  guichet department add acme billing --name Billing --member jane@acme.com --member bob@acme.com

Mail to acme+billing@ the property's domain is assigned to it.")]
    Add {
        /// The property's slug
        property: PropertySlug,
        /// Its short name in addresses: up to 24 of a-z, 0-9 and -
        slug: DepartmentSlug,
        /// The name for readers
        #[arg(long)]
        name: String,
        /// A member of it
        #[arg(long = "member", value_name = "ADDRESS")]
        members: Vec<Address>,
    },
    /// List the departments
    List {
        /// Only those of one property
        property: Option<PropertySlug>,
    },
    /// Show a department
    Show {
        /// The property's slug
        property: PropertySlug,
        /// The department's slug
        slug: DepartmentSlug,
    },
    /// Change a department
    Edit {
        /// The property's slug
        property: PropertySlug,
        /// The department's slug
        slug: DepartmentSlug,
        #[command(flatten)]
        changes: Changes,
    },
    /// Remove a department: its tickets go to the default assignee
    Remove {
        /// The property's slug
        property: PropertySlug,
        /// The department's slug
        slug: DepartmentSlug,
    },
}

#[derive(Debug, Args)]
pub(super) struct Changes {
    /// The name for readers
    #[arg(long)]
    name: Option<String>,
    /// One more member
    #[arg(long = "member", value_name = "ADDRESS")]
    members: Vec<Address>,
    /// A member to leave it
    #[arg(long = "remove-member", value_name = "ADDRESS")]
    remove_members: Vec<Address>,
}

impl DepartmentCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::List { property } => {
                desk.print_all(&Call::get(&["departments"]).query("property", property), "departments", table)
            }
            Self::Add { property, slug, name, members } => {
                let new = NewDepartment { slug, name, members };
                desk.print(&Call::post(&["properties", property.as_str(), "departments"], &new), show)
            }
            Self::Show { property, slug } => desk.print(&Call::get(&path(&property, &slug)), show),
            Self::Edit { property, slug, changes } => {
                let edit = EditDepartment {
                    name: changes.name,
                    add_members: changes.members,
                    remove_members: changes.remove_members,
                };
                desk.print(&Call::patch(&path(&property, &slug), &change(edit)?), show)
            }
            Self::Remove { property, slug } => {
                let call = Call::delete(&path(&property, &slug));
                desk.print(&call, |removed: &Removed, _| format!("Removed {}.\n", removed.removed))
            }
        }
    }
}

fn path<'a>(property: &'a PropertySlug, slug: &'a DepartmentSlug) -> [&'a str; 4] {
    ["properties", property.as_str(), "departments", slug.as_str()]
}

fn table(list: &Departments, output: Output) -> String {
    let mut table = Table::new(["PROPERTY", "DEPARTMENT", "NAME", "MEMBERS"]);
    for department in &list.departments {
        let members: Vec<&str> = department
            .members
            .iter()
            .map(|member| if member.name.is_empty() { member.address.as_str() } else { &member.name })
            .collect();
        table.row([
            department.property.to_string(),
            department.slug.to_string(),
            department.name.clone(),
            super::output::list(&members),
        ]);
    }
    table.render(output, "No departments. `guichet department add` makes one.")
}

fn show(department: &Department, output: Output) -> String {
    let mut facts = super::output::Facts::new(output);
    facts.title(&format!("{} in {}  {}", department.slug, department.property, department.name));
    facts.fact("address", department.address.as_str());
    let members: Vec<String> =
        department.members.iter().map(|member| person(&member.name, member.address.as_str())).collect();
    facts.fact("members", &list(&members));
    facts.done()
}

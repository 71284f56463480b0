//! App passwords: made, told, revoked; and what is known of one who logs in.

use jiff::SignedDuration;

use super::property::check_name;
use super::{Act, ActionError, Desk, find, views};
use crate::desk::address::Address;
use crate::desk::id::{AppPasswordId, MemberId};
use crate::desk::login::{AppPassword, Login, Use, new_password};
use crate::desk::member::Member;
use crate::desk::scram::{Keys, Salt};
use crate::store::tables::{APP_PASSWORD_IDS, APP_PASSWORDS, MEMBER_ADDRESSES, MEMBERS};
use crate::store::{Order, Read, StoreError, Tx};

/// The most devices of one member.
const MOST: usize = 100;
/// Logins of one device from one network within this time are written down once.
const USE_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Makes a password for a device; the text is to be shown once, since only its keys are kept.
pub fn add(tx: &mut Tx<'_>, act: &Act<'_>, who: &str, name: &str) -> Result<(AppPassword, String), ActionError> {
    let member = find::member(tx, who)?;
    if member.list {
        return Err(ActionError::refused("a list member has no login and so no app password"));
    }
    let name = check_name(name)?;
    let others = of(tx, member.id)?;
    if others.iter().any(|other| other.name == name) {
        let login = &member.login;
        return Err(ActionError::Doubled(format!(
            "{login} has an app password {name:?} already: give this device another name, or end that one first by \
             `guichet member app-password revoke {login} --name {name:?}`"
        )));
    }
    if others.len() >= MOST {
        return Err(ActionError::refused(format!("{} has {MOST} app passwords already; revoke one", member.login)));
    }
    let salt = others.first().map_or_else(|| salt(act.desk, member.login.key().as_str()), |other| other.salt);
    let mut random = [0; 20];
    for piece in random.chunks_mut(10) {
        piece.copy_from_slice(&(act.desk.random)()[6..]);
    }
    let text = new_password(random);
    let password = AppPassword {
        id: AppPasswordId(tx.allocate(&APP_PASSWORD_IDS, &())?),
        member: member.id,
        name,
        keys: Keys::of(&text, &salt),
        salt,
        created_at: act.now,
        last_use: None,
    };
    tx.put(&APP_PASSWORDS, &(member.id, password.id), &password)?;
    Ok((password, text))
}

/// A member's passwords, the oldest first.
pub fn list(tx: &impl Read, who: &str) -> Result<Vec<AppPassword>, ActionError> {
    let member = find::member(tx, who)?;
    Ok(of(tx, member.id)?)
}

/// Ends a password: what logs in by it from now on fails, and so does mail in sessions that stand.
pub fn revoke(tx: &mut Tx<'_>, who: &str, name: &str) -> Result<AppPassword, ActionError> {
    let member = find::member(tx, who)?;
    let all = of(tx, member.id)?;
    let Some(password) = all.iter().find(|password| password.name == name) else {
        return Err(ActionError::NotFound {
            what: "app password",
            name: format!("{name:?} of {}", member.login),
            near: all.iter().map(|password| format!("{:?}", password.name)).take(3).collect(),
        });
    };
    tx.delete(&APP_PASSWORDS, &(member.id, password.id));
    views::rights_changed(tx, member.id)?;
    Ok(password.clone())
}

/// Ends all of a member's passwords.
pub fn revoke_all(tx: &mut Tx<'_>, member: MemberId) -> Result<(), StoreError> {
    for password in of(tx, member)? {
        tx.delete(&APP_PASSWORDS, &(member, password.id));
    }
    views::rights_changed(tx, member)
}

/// Who may be logging in.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub salt: Salt,
    /// None if nobody has this name.
    pub passwords: Vec<AppPassword>,
}

/// What there is for a name that somebody logs in with, one of a member's addresses. The same is
/// read, and a salt is told, whether or not it is anybody's.
pub fn candidate(tx: &impl Read, desk: &Desk, name: &str) -> Result<Candidate, StoreError> {
    let address = name.parse::<Address>().ok();
    let known = address.as_ref().map(|address| tx.get(&MEMBER_ADDRESSES, address)).transpose()?.flatten();
    let passwords = of(tx, known.unwrap_or(MemberId(0)))?;
    let unknown = || salt(desk, &address.map_or_else(|| name.to_lowercase(), |address| address.key()));
    Ok(Candidate { salt: passwords.first().map_or_else(unknown, |password| password.salt), passwords })
}

/// The salt of a name. A member's first password takes it, so that it tells nobody whether there is
/// one.
fn salt(desk: &Desk, name: &str) -> Salt {
    Salt { octets: desk.keys.salt(name), iterations: Salt::ITERATIONS }
}

/// Writes down that a password was used.
pub fn used(tx: &mut Tx<'_>, login: &Login, this: &Use) -> Result<(), StoreError> {
    let key = (login.member(), login.password());
    let Some(mut password) = tx.get(&APP_PASSWORDS, &key)? else { return Ok(()) };
    let lately = |last: &Use| {
        last.client == this.client && last.mechanism == this.mechanism && this.at.duration_since(last.at) < USE_EVERY
    };
    if password.last_use.as_ref().is_some_and(lately) {
        return Ok(());
    }
    password.last_use = Some(this.clone());
    tx.put(&APP_PASSWORDS, &key, &password)
}

/// The member who is logged in, unless he was removed or the password revoked since.
pub fn member(tx: &impl Read, login: &Login) -> Result<Option<Member>, StoreError> {
    if tx.get(&APP_PASSWORDS, &(login.member(), login.password()))?.is_none() {
        return Ok(None);
    }
    Ok(tx.get(&MEMBERS, &login.member())?.filter(|member| !member.removed))
}

fn of(tx: &impl Read, member: MemberId) -> Result<Vec<AppPassword>, StoreError> {
    let all = tx.starting(&APP_PASSWORDS, (member,), Order::Up, MOST)?;
    Ok(all.into_iter().map(|(_, password)| password).collect())
}

#[cfg(test)]
mod tests {
    use super::super::member;
    use super::super::testing::Office;
    use super::*;
    use crate::desk::login::by_password;

    fn logs_in(office: &Office, name: &str, password: &str) -> bool {
        let candidate = office.store.read(|view| candidate(view, &office.desk, name)).unwrap();
        by_password(&candidate.passwords, &Keys::of(password, &candidate.salt)).is_some()
    }

    #[tokio::test]
    async fn a_password_is_for_one_device_and_ends_when_it_is_revoked_or_the_member_removed() {
        let office = Office::open().await;
        let add = |name: &'static str| office.act(move |tx, act| add(tx, act, "alice", name));
        let (phone, first) = add("phone").await.unwrap();
        let (laptop, second) = add("laptop").await.unwrap();
        assert!(matches!(add("phone").await, Err(ActionError::Doubled(said)) if said.contains("revoke")));
        assert_eq!(phone.salt, laptop.salt, "a client is told the salt before it says which device it is");
        assert_ne!(first, second);
        let login = phone.member;
        let address = office.store.read(|view| find::member_by_id(view, login)).unwrap().login.to_string();
        assert!(logs_in(&office, &address, &first) && logs_in(&office, &address.to_uppercase(), &second));
        assert!(!logs_in(&office, &address, "other"));
        office.act(|tx, _| revoke(tx, "alice", "phone")).await.unwrap();
        assert!(!logs_in(&office, &address, &first) && logs_in(&office, &address, &second));
        office.act(|tx, act| member::remove(tx, act, "alice")).await.unwrap();
        assert!(!logs_in(&office, &address, &second));
    }

    #[tokio::test]
    async fn nobody_learns_from_the_salt_who_has_a_password() {
        let office = Office::open().await;
        let salt = |name: &str| office.store.read(|view| candidate(view, &office.desk, name)).unwrap().salt;
        let login = office.store.read(|view| find::member(view, "alice")).unwrap().login.to_string();
        let before = salt(&login);
        office.act(|tx, act| add(tx, act, "alice", "phone")).await.unwrap();
        assert_eq!(salt(&login), before);
        assert_eq!(salt(&login.to_uppercase()), before);
        assert_eq!(salt("nobody@team.example"), salt("Nobody@Team.example"));
        assert_ne!(salt("nobody@team.example"), before);
        assert_eq!(salt("no address"), salt("No Address"));
    }
}

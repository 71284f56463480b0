//! Addresses, alone.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use guichet::desk::address::Address;

/// What is taken for an address is one wherever it is written, and can be read again; two spellings
/// are equal exactly when their keys are.
///
/// The input is one address, or two with a line feed between.
pub fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let (Some(Ok(one)), other) = (lines.next().map(str::parse::<Address>), lines.next()) else { return };
    check(&one);
    if let Some(Ok(other)) = other.map(str::parse::<Address>) {
        check(&other);
        assert_eq!(one == other, one.key() == other.key(), "{one:?} {other:?}");
        assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
        let hash = |address: &Address| BuildHasherDefault::<DefaultHasher>::default().hash_one(address);
        assert!(one != other || hash(&one) == hash(&other), "{one:?} {other:?}");
    }
}

fn check(address: &Address) {
    let text = address.as_str();
    let again: Address = text.parse().expect("an address can be read again");
    assert_eq!(again.as_str(), text);
    assert_eq!(Address::new(address.local(), address.domain()).expect("its parts are sound").as_str(), text);
    assert_eq!(format!("{}@{}", address.local(), address.domain()), text);
    let key: Address = address.key().parse().expect("a key is an address");
    assert_eq!(key.key(), address.key(), "the key of a key");
    assert_eq!(key, *address);
    assert!(address.local().len() <= 64 && address.domain().len() <= 253);
    // Nothing that ends it where it is written, in a header field, a command or a list.
    assert!(!text.contains(|c: char| c.is_control() || c.is_whitespace() || "<>()[],;:\"\\".contains(c)), "{text:?}");
    assert_eq!(text.matches('@').count(), 1);
}

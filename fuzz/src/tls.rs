//! What domains say about TLS to their servers, and report of it.

use guichet::desk::mta_sts::{Announcement, Policy};
use guichet::desk::tls_report::Wish;
use guichet::mime::tls_report::{pack, unpack};

use super::options;

/// A policy and an announcement that are written come back the same; a report is shown within bounds,
/// on lines without controls.
///
/// Options: which of them it is.
pub fn tls(data: &[u8]) {
    let ([way], octets) = options(data);
    let text = String::from_utf8_lossy(octets);
    match way % 3 {
        0 => {
            let Ok(policy) = text.parse::<Policy>() else { return };
            assert!(policy.mx.len() <= Policy::MOST_MX && policy.max_age <= Policy::LONGEST_AGE);
            assert_eq!(policy.to_string().parse().as_ref(), Ok(&policy));
            for pattern in &policy.mx {
                let host = pattern.to_string().replacen('*', "mx", 1);
                assert!(policy.matches(&host), "{host}");
            }
        }
        1 => {
            let records: Vec<_> = text.lines().collect();
            if let Some(announcement) = Announcement::among(&records) {
                assert_eq!(announcement.to_string().parse(), Ok(announcement));
            }
            assert!(Wish::among(&records).is_none_or(|wish| (1..=4).contains(&wish.to.len())));
        }
        _ => {
            let Some(report) = unpack(octets) else { return };
            let text = report.text();
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            assert!(text.lines().count() <= 2_700 && text.lines().all(|line| line.chars().count() <= 1_300), "{text}");
            assert_eq!(unpack(&pack(&report).expect("memory is there")), Some(report));
        }
    }
}

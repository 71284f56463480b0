//! BIND: zones that are signed here, up to a root of the tests' own, and a name server that checks them.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::named::launch;
use super::peers::program;
use super::ports::free_address;

/// A zone to be served, below the root.
pub struct Zone {
    pub name: &'static str,
    /// What is in it besides its own name server.
    pub records: String,
    pub signing: Signing,
}

/// Whether a zone's signatures hold.
pub enum Signing {
    Signed,
    /// It has none, and the root says so.
    Unsigned,
    /// This text was exchanged for that one after the zone was signed.
    Broken(&'static str, &'static str),
}

/// Two name servers: one has the zones, the other checks what it says. They end when this is dropped.
pub struct SignedZones {
    _zones: Server,
    checking: Server,
    _dir: TempDir,
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl SignedZones {
    /// `None` where tests run without other programs.
    pub fn start(zones: &[Zone]) -> Option<Self> {
        let (named, keygen, signzone) = (program("named")?, program("dnssec-keygen")?, program("dnssec-signzone")?);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let mut config = String::new();
        let mut root = ". 60 IN SOA ns.root. root.root. 1 3600 600 86400 60\n. 60 IN NS ns.root.\n\
                        ns.root. 60 IN A 127.0.0.1\n"
            .to_owned();
        for Zone { name, records, signing } in zones {
            writeln!(root, "{name}. 60 IN NS ns.{name}.\nns.{name}. 60 IN A 127.0.0.1").unwrap();
            let text = format!(
                "$ORIGIN {name}.\n$TTL 60\n@ IN SOA ns root 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n{records}"
            );
            let file = path.join(name);
            fs::write(&file, text).unwrap();
            if !matches!(signing, Signing::Unsigned) {
                sign(path, &keygen, &signzone, name);
            }
            if let Signing::Broken(from, to) = signing {
                let signed = fs::read_to_string(&file).unwrap();
                assert!(signed.contains(from), "{signed}");
                fs::write(&file, signed.replace(from, to)).unwrap();
            }
            writeln!(config, "zone \"{name}\" {{ type primary; file \"{name}\"; }};").unwrap();
        }
        fs::write(path.join("root"), root).unwrap();
        let key = sign(path, &keygen, &signzone, ".");
        config.push_str("zone \".\" { type primary; file \"root\"; };\n");
        let zones = serve(&named, path, "zones", "recursion no; dnssec-validation no;", &config);
        let forward = format!(
            "recursion yes; dnssec-validation yes; forward only; empty-zones-enable no; \
             forwarders port {} {{ 127.0.0.1; }};",
            zones.address.port()
        );
        let checking =
            serve(&named, path, "checking", &forward, &format!("trust-anchors {{ . static-key {key}; }};\n"));
        Some(Self { _zones: zones, checking, _dir: dir })
    }

    /// The one that checks.
    pub fn address(&self) -> SocketAddr {
        self.checking.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Signs the zone in the file of its name; its key, as a trust anchor has it.
fn sign(dir: &Path, keygen: &Path, signzone: &Path, name: &str) -> String {
    let run = |program: &Path, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let made = run(keygen, &["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", name]);
    let key = fs::read_to_string(dir.join(format!("{}.key", made.trim()))).unwrap();
    let key = key.lines().find(|line| !line.starts_with(';')).unwrap();
    let file = if name == "." { "root" } else { name };
    // One key for all of it; the zones below by what was left of their signing.
    run(signzone, &["-q", "-S", "-z", "-g", "-O", "full", "-o", name, "-f", file, file]);
    let mut words = key.split_whitespace().skip_while(|word| *word != "DNSKEY").skip(1);
    let numbers: Vec<_> = words.by_ref().take(3).collect();
    format!("{} \"{}\"", numbers.join(" "), words.collect::<String>())
}

/// Starts one on a free port, and waits until it serves.
fn serve(named: &Path, dir: &Path, name: &str, options: &str, rest: &str) -> Server {
    let (address, folder) = (free_address(), dir.display());
    let config = format!(
        "options {{ directory \"{folder}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
         pid-file none; session-keyfile none; lock-file none; managed-keys-directory \"{folder}\"; notify no; \
         {options} }};\ncontrols {{ }};\n{rest}",
        address.port()
    );
    let file = dir.join(format!("{name}.conf"));
    fs::write(&file, config).unwrap();
    Server { process: launch(named, &file), address }
}

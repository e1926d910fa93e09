//! How servers of ZooKeeper are known, how they know us, and who may change what we make.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use clap::{Args, ValueEnum};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zk_session::{Acl, Builder, Reader, Tls, ZooKeeper};

use crate::ending::Usage;

/// No certificate, key or password is larger.
const LARGEST: u64 = 1024 * 1024;

/// Servers that nobody is going to ask.
const ANYWHERE: &str = "127.0.0.1:2181";

/// Access to ZooKeeper. Secrets are in files, for flags and variables are seen by others.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Access to ZooKeeper")]
#[group(skip)]
pub struct Security {
    /// Speak TLS with ZooKeeper, and trust the servers that one of the certificates in this file has signed, in PEM. They must be for the
    /// names or addresses in --zk
    #[arg(long, env = "ZK_TLS_CA", value_name = "FILE")]
    pub zk_tls_ca: Option<PathBuf>,

    /// The certificate that ZooKeeper knows us by, with its chain, in PEM
    #[arg(long, env = "ZK_TLS_CERT", value_name = "FILE", requires_all = ["zk_tls_ca", "zk_tls_key"])]
    pub zk_tls_cert: Option<PathBuf>,

    /// The private key of that certificate, in PEM
    #[arg(long, env = "ZK_TLS_KEY", value_name = "FILE", requires = "zk_tls_cert")]
    pub zk_tls_key: Option<PathBuf>,

    /// A file with one line, USER:PASSWORD, that others may not read: who we are by ZooKeeper's digest scheme
    #[arg(long, env = "ZK_DIGEST_FILE", value_name = "FILE")]
    pub zk_digest_file: Option<PathBuf>,

    /// The same for a login by SASL with DIGEST-MD5
    #[arg(long, env = "ZK_SASL_FILE", value_name = "FILE")]
    pub zk_sasl_file: Option<PathBuf>,

    /// Who may do what with the nodes that we make, their parents included
    #[arg(long, env = "ZK_ACL", value_enum, default_value_t = Rights::Open)]
    pub zk_acl: Rights,

    /// With --zk-acl creator: who else may read, anyone or an identity as servers know it; those who discover us have to
    #[arg(long, env = "ZK_READER", value_name = "anyone|SCHEME:ID", value_parser = reader)]
    pub zk_reader: Option<Reader>,
}

/// Who may do what with what we make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Rights {
    /// Anybody may do anything
    #[default]
    Open,
    /// Only who has our identity may, and those of --zk-reader may read
    Creator,
}

impl Security {
    /// The variables of the environment that say it where flags do not.
    pub const VARIABLES: [&str; 7] =
        ["ZK_TLS_CA", "ZK_TLS_CERT", "ZK_TLS_KEY", "ZK_DIGEST_FILE", "ZK_SASL_FILE", "ZK_ACL", "ZK_READER"];

    /// Each flag that was given, with its variable and its value: to be handed on to another program of ours, which may be started in
    /// another folder.
    pub fn given(&self) -> Vec<(&'static str, &'static str, String)> {
        let file = |path: &Option<PathBuf>| {
            let path = path.as_ref()?;
            // Without a folder that we are in there is nothing that it could be relative to.
            Some(absolute(path).as_ref().unwrap_or(path).display().to_string())
        };
        let acl = (self.zk_acl == Rights::Creator).then(|| "creator".to_owned());
        let reader = self.zk_reader.as_ref().map(|reader| match reader {
            Reader::Identity { scheme, id } => format!("{scheme}:{id}"),
            _ => ANYONE.to_owned(),
        });
        let flags = [
            ("--zk-tls-ca", file(&self.zk_tls_ca)),
            ("--zk-tls-cert", file(&self.zk_tls_cert)),
            ("--zk-tls-key", file(&self.zk_tls_key)),
            ("--zk-digest-file", file(&self.zk_digest_file)),
            ("--zk-sasl-file", file(&self.zk_sasl_file)),
            ("--zk-acl", acl),
            ("--zk-reader", reader),
        ];
        let all = flags.into_iter().zip(Self::VARIABLES);
        all.filter_map(|((flag, value), variable)| Some((flag, variable, value?))).collect()
    }

    /// Puts it into a description of a connection. Reads the files: what they say later counts at the next start.
    ///
    /// # Errors
    ///
    /// Which flag is unusable, which file, and what is accepted; nothing of what stands in a file.
    pub fn apply(&self, mut builder: Builder) -> Result<Builder, Usage> {
        if let Some(tls) = self.tls()? {
            builder = builder.tls(tls);
        }
        if let Some(path) = &self.zk_digest_file {
            let (user, password) = login("--zk-digest-file", path)?;
            builder = builder.digest(&user, &password);
            usable(&builder, "--zk-digest-file", path)?;
        }
        if let Some(path) = &self.zk_sasl_file {
            let (user, password) = login("--zk-sasl-file", path)?;
            builder = builder.sasl_digest_md5(&user, &password);
            usable(&builder, "--zk-sasl-file", path)?;
        }
        Ok(match self.acl()? {
            Some(acl) => builder.acl(acl),
            None => builder,
        })
    }

    fn tls(&self) -> Result<Option<Tls>, Usage> {
        let Some(ca) = &self.zk_tls_ca else { return Ok(None) };
        let try_it =
            |tls: &Tls, flag, path: &Path| usable(&ZooKeeper::builder(ANYWHERE).tls(tls.clone()), flag, path);
        let mut tls = Tls { ca_pem: read("--zk-tls-ca", ca)?.1, identity: None };
        if !tls.ca_pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(refused("--zk-tls-ca", ca, "there is no certificate in it; accepted: PEM text"));
        }
        try_it(&tls, "--zk-tls-ca", ca)?;
        if let (Some(cert), Some(key)) = (&self.zk_tls_cert, &self.zk_tls_key) {
            let certificate = read("--zk-tls-cert", cert)?.1;
            if !certificate.contains("-----BEGIN CERTIFICATE-----") {
                return Err(refused(
                    "--zk-tls-cert",
                    cert,
                    "there is no certificate in it; accepted: PEM text",
                ));
            }
            let secret = secret("--zk-tls-key", key)?;
            fits(&certificate, &secret).map_err(|why| refused("--zk-tls-key", key, why))?;
            tls.identity = Some((certificate, secret));
            try_it(&tls, "--zk-tls-key", key)?;
        }
        Ok(Some(tls))
    }

    fn acl(&self) -> Result<Option<Acl>, Usage> {
        let known =
            self.zk_tls_cert.is_some() || self.zk_digest_file.is_some() || self.zk_sasl_file.is_some();
        match (self.zk_acl, &self.zk_reader) {
            (Rights::Open, None) => Ok(None),
            (Rights::Open, Some(_)) => {
                Err(Usage("--zk-reader: with --zk-acl open anybody may read; accepted: with --zk-acl creator".to_owned()))
            }
            (Rights::Creator, _) if !known => Err(Usage(
                "--zk-acl creator: ZooKeeper does not know who we are; add --zk-digest-file, --zk-sasl-file, or --zk-tls-cert with --zk-tls-key"
                    .to_owned(),
            )),
            (Rights::Creator, reader) => Ok(Some(Acl::Creator { readers: reader.clone() })),
        }
    }
}

const ANYONE: &str = "anyone";

/// Who may read.
fn reader(text: &str) -> Result<Reader, String> {
    match text.split_once(':') {
        None if text == ANYONE => Ok(Reader::Anyone),
        Some((scheme @ ("digest" | "sasl" | "x509" | "ip"), id)) if !id.is_empty() => {
            Ok(Reader::Identity { scheme: scheme.to_owned(), id: id.to_owned() })
        }
        _ => Err(
            "accepted: anyone, or digest:, sasl:, x509: or ip: with an id behind it, as in digest:alice:HASH"
                .to_owned(),
        ),
    }
}

/// A file's mode and its text.
fn read(flag: &str, path: &Path) -> Result<(u32, String), Usage> {
    let read = || {
        let file = File::open(path)?;
        // Of the file that was opened, whatever has its name by now.
        let mode = file.metadata()?.mode() & 0o777;
        let mut text = String::new();
        file.take(LARGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST {
            return Err(std::io::Error::other(format!("it is larger than {LARGEST} bytes")));
        }
        Ok((mode, text))
    };
    read().map_err(|error: std::io::Error| refused(flag, path, format_args!("it cannot be read: {error}")))
}

/// The text of a file that others must not read.
fn secret(flag: &str, path: &Path) -> Result<String, Usage> {
    let (mode, text) = read(flag, path)?;
    if mode & 0o027 != 0 {
        let shown = path.display();
        return Err(refused(
            flag,
            path,
            format_args!("others may read or change it (its mode is {mode:03o}); try: chmod 600 {shown}"),
        ));
    }
    Ok(text)
}

/// The user and the password in a file.
fn login(flag: &str, path: &Path) -> Result<(String, String), Usage> {
    let text = secret(flag, path)?;
    let mut lines = text.lines();
    match (lines.next().and_then(|line| line.split_once(':')), lines.next()) {
        (Some((user, password)), None) => Ok((user.to_owned(), password.to_owned())),
        _ => Err(refused(flag, path, "accepted: one line, USER:PASSWORD")),
    }
}

/// Refuses a key that is none, or that of another certificate: said by servers it would be no more than that they do not want us.
fn fits(certificates: &str, key: &str) -> Result<(), String> {
    let unusable = |_| "there is no private key in it; accepted: PEM text".to_owned();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unusable)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
    let chain = chain.map_err(|error| format!("the certificate of --zk-tls-cert cannot be read: {error}"))?;
    match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("it is not the key of the first certificate of --zk-tls-cert".to_owned())
        }
        Err(error) => Err(format!("it does not go with --zk-tls-cert: {error}")),
    }
}

/// Refuses what no connection can be made with.
fn usable(builder: &Builder, flag: &str, path: &Path) -> Result<(), Usage> {
    builder.clone().build().map(drop).map_err(|error| refused(flag, path, error))
}

fn refused(flag: &str, path: &Path, why: impl Display) -> Usage {
    Usage(format!("{flag} {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        security: Security,
    }

    /// A folder with a certificate that signs itself, its key, the key of another one, and a login.
    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        put(&folder, "ca.pem", &certificate.self_signed(&key).unwrap().pem(), 0o644);
        put(&folder, "key.pem", &key.serialize_pem(), 0o600);
        put(&folder, "open-key.pem", &key.serialize_pem(), 0o644);
        put(&folder, "other-key.pem", &KeyPair::generate().unwrap().serialize_pem(), 0o600);
        put(&folder, "login", "alice:hun:ter2\n", 0o600);
        folder
    }

    fn put(folder: &TempDir, name: &str, text: &str, mode: u32) {
        let path = folder.path().join(name);
        write(&path, text).unwrap();
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// What becomes of flags, of which a value with an @ before it is the name of a file there.
    fn apply(folder: &TempDir, flags: &[&str]) -> Result<Builder, String> {
        let name = |flag: &&str| match flag.strip_prefix('@') {
            Some(file) => folder.path().join(file).display().to_string(),
            None => (*flag).to_owned(),
        };
        let program = Program::try_parse_from([String::new()].into_iter().chain(flags.iter().map(name)));
        let security = program.map_err(|error| error.to_string())?.security;
        let given: Vec<_> =
            security.given().into_iter().flat_map(|(flag, _, value)| [flag.to_owned(), value]).collect();
        let again = Program::try_parse_from([String::new()].into_iter().chain(given)).unwrap().security;
        assert_eq!(format!("{again:?}"), format!("{security:?}"), "what is handed on is the same");
        security.apply(ZooKeeper::builder("localhost:1")).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_and_files_become_a_connection() {
        let folder = folder();
        for flags in [
            &[][..],
            &["--zk-tls-ca", "@ca.pem"],
            &[
                "--zk-tls-ca",
                "@ca.pem",
                "--zk-tls-cert",
                "@ca.pem",
                "--zk-tls-key",
                "@key.pem",
                "--zk-acl",
                "creator",
            ],
            &["--zk-digest-file", "@login", "--zk-acl", "creator", "--zk-reader", "anyone"],
            &["--zk-sasl-file", "@login", "--zk-acl", "creator", "--zk-reader", "sasl:bob"],
        ] {
            let builder = apply(&folder, flags).unwrap();
            let shown = format!("{builder:?}");
            assert!(!shown.contains("ter2") && !shown.contains("PRIVATE"), "{shown}");
            assert_eq!(shown.contains("alice"), flags.contains(&"@login"), "{shown}");
            builder.build().unwrap();
        }
    }

    #[test]
    fn what_is_handed_on_is_the_same_file_from_any_folder() {
        let security = Security { zk_sasl_file: Some("a login".into()), ..Security::default() };
        let here = std::env::current_dir().unwrap().join("a login").display().to_string();
        assert_eq!(security.given(), [("--zk-sasl-file", "ZK_SASL_FILE", here)]);
    }

    #[test]
    fn a_refusal_names_the_flag_the_file_and_what_to_do_and_nothing_secret() {
        let folder = folder();
        put(&folder, "open", "alice:hunter2\n", 0o604);
        put(&folder, "group-writes", "alice:hunter2\n", 0o620);
        put(&folder, "two", "alice:hunter2\nbob:hunter2\n", 0o600);
        put(&folder, "none", "hunter2\n", 0o600);
        put(&folder, "empty", "alice:\n", 0o600);
        put(
            &folder,
            "damaged.pem",
            "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n",
            0o600,
        );
        let tls = |cert, key| ["--zk-tls-ca", "@ca.pem", "--zk-tls-cert", cert, "--zk-tls-key", key];
        let table: &[(&[&str], &[&str])] = &[
            (&["--zk-tls-ca", "@gone"], &["--zk-tls-ca /", "gone: it cannot be read: No such file"]),
            (&["--zk-tls-ca", "@login"], &["--zk-tls-ca /", "login: there is no certificate in it"]),
            (&["--zk-tls-ca", "@damaged.pem"], &["--zk-tls-ca /", "damaged.pem: ", "PEM text is accepted"]),
            (&tls("@gone", "@key.pem"), &["--zk-tls-cert /", "gone: it cannot be read"]),
            (&tls("@key.pem", "@key.pem"), &["--zk-tls-cert /", "there is no certificate"]),
            (&tls("@ca.pem", "@gone"), &["--zk-tls-key /", "gone: it cannot be read"]),
            (&tls("@ca.pem", "@open-key.pem"), &["--zk-tls-key /", "mode is 644", "chmod 600 /"]),
            (&tls("@ca.pem", "@ca.pem"), &["--zk-tls-key /", "mode is 644"]),
            (&tls("@ca.pem", "@login"), &["--zk-tls-key /", "login: there is no private key in it"]),
            (
                &tls("@ca.pem", "@other-key.pem"),
                &[
                    "--zk-tls-key /",
                    "other-key.pem: it is not the key of the first certificate of --zk-tls-cert",
                ],
            ),
            (&["--zk-tls-cert", "@ca.pem"], &["--zk-tls-ca <FILE>", "--zk-tls-key <FILE>"]),
            (&["--zk-tls-ca", "@ca.pem", "--zk-tls-key", "@key.pem"], &["--zk-tls-cert <FILE>"]),
            (&["--zk-digest-file", "@gone"], &["--zk-digest-file /", "gone: it cannot be read"]),
            (&["--zk-digest-file", "@open"], &["--zk-digest-file /", "mode is 604", "chmod 600 /"]),
            (&["--zk-digest-file", "@group-writes"], &["mode is 620"]),
            (&["--zk-digest-file", "@two"], &["--zk-digest-file /", "accepted: one line, USER:PASSWORD"]),
            (&["--zk-digest-file", "@none"], &["accepted: one line, USER:PASSWORD"]),
            (&["--zk-digest-file", "@empty"], &["--zk-digest-file /", "1 to 1024 are accepted"]),
            (&["--zk-sasl-file", "@none"], &["--zk-sasl-file /", "accepted: one line, USER:PASSWORD"]),
            (&["--zk-acl", "creator"], &["--zk-acl creator", "add --zk-digest-file"]),
            (&["--zk-reader", "anyone"], &["--zk-reader", "with --zk-acl creator"]),
            (&["--zk-reader", "everybody"], &["accepted: anyone, or digest:"]),
            (&["--zk-reader", "digest:"], &["accepted: anyone, or digest:"]),
        ];
        for (flags, told) in table {
            let text = apply(&folder, flags).map(drop).unwrap_err();
            for part in *told {
                assert!(text.contains(part), "{flags:?}: {part}: {text}");
            }
            assert!(!text.contains("hunter2") && !text.contains("BEGIN"), "{text}");
        }
    }
}

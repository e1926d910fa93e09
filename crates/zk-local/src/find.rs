//! Where ZooKeeper and Java are on this machine.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::install;

/// Where Debian and its children put jars.
const DEBIAN_JARS: &str = "/usr/share/java";

const HOW_TO_GET_IT: &str = "do one of these: \
    start a ZooKeeper server yourself and name it in ZK_CONNECT (HOST:PORT), where the program takes that; \
    unpack a release of Apache ZooKeeper and name its folder in ZOOKEEPER_HOME; \
    or install a package (on Debian: apt-get install libzookeeper-java libslf4j-java libnetty-java \
    default-jre-headless)";

/// A ZooKeeper that can be started here: its jars, and a Java to run them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Installation {
    java: PathBuf,
    class_path: Vec<PathBuf>,
}

impl Installation {
    /// Looks in `ZOOKEEPER_HOME`, then for `zkServer` or `zkServer.sh` on the `PATH`, then for Debian's jars.
    ///
    /// Where nothing is found, and this is root on a machine with `apt-get`, Debian's packages are installed, which
    /// is said on stderr. Java is taken from `JAVA_HOME` or the `PATH`.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] tells how to get what is missing; [`Error::Install`], why it could not be installed.
    ///
    /// # Cancel safety
    ///
    /// Dropped while packages are installed, it leaves `apt-get` to finish by itself.
    pub async fn find() -> Result<Self, Error> {
        let mut found = Found::look(&Surroundings::ours())?;
        if found.is_lacking() && install::is_possible() {
            install::debian_packages(|| {
                Found::look(&Surroundings::ours()).is_ok_and(|now| !now.is_lacking())
            })
            .await?;
            found = Found::look(&Surroundings::ours())?;
        }
        found.complete()
    }

    /// The ZooKeeper in `home`, as an unpacked release has it: jars in its folder `lib`.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when there is no ZooKeeper in `home`, or no Java on this machine.
    pub fn in_home(home: &Path) -> Result<Self, Error> {
        Found::look(&Surroundings { zookeeper_home: Some(home.into()), ..Surroundings::ours() })?.complete()
    }

    pub(crate) fn java(&self) -> &Path {
        &self.java
    }

    pub(crate) fn class_path(&self) -> &[PathBuf] {
        &self.class_path
    }
}

/// What a search goes by.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    zookeeper_home: Option<PathBuf>,
    java_home: Option<PathBuf>,
    path: OsString,
    debian_jars: PathBuf,
}

impl Surroundings {
    fn ours() -> Self {
        let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            zookeeper_home: folder("ZOOKEEPER_HOME"),
            java_home: folder("JAVA_HOME"),
            path: env::var_os("PATH").unwrap_or_default(),
            debian_jars: DEBIAN_JARS.into(),
        }
    }

    /// The first of the programs named `names` that is on the `PATH`.
    fn program(&self, names: &[&str]) -> Option<PathBuf> {
        let folders: Vec<_> = env::split_paths(&self.path).filter(|folder| folder.is_absolute()).collect();
        let files = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        files.into_iter().find(|file| file.is_file())
    }
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Found {
    java: Option<PathBuf>,
    class_path: Option<Vec<PathBuf>>,
}

impl Found {
    fn look(at: &Surroundings) -> Result<Self, Error> {
        let in_java_home =
            at.java_home.as_ref().map(|home| home.join("bin/java")).filter(|java| java.is_file());
        let java = in_java_home.or_else(|| at.program(&["java"]));
        if let Some(home) = &at.zookeeper_home {
            // Somebody meant this one: another would be a surprise.
            let class_path = release(home).ok_or_else(|| {
                let home = home.display();
                Error::Missing(format!(
                    "no ZooKeeper jars in {home} or {home}/lib, which ZOOKEEPER_HOME names"
                ))
            })?;
            return Ok(Self { java, class_path: Some(class_path) });
        }
        let by_script = || beside(&at.program(&["zkServer", "zkServer.sh"])?);
        Ok(Self { java, class_path: by_script().or_else(|| debian(&at.debian_jars)) })
    }

    fn is_lacking(&self) -> bool {
        self.java.is_none() || self.class_path.is_none()
    }

    fn complete(self) -> Result<Installation, Error> {
        let missing = |what: &str| Error::Missing(format!("{what} on this machine: {HOW_TO_GET_IT}"));
        Ok(Installation {
            class_path: self.class_path.ok_or_else(|| missing("there is no ZooKeeper"))?,
            java: self.java.ok_or_else(|| missing("there is no Java, which ZooKeeper needs,"))?,
        })
    }
}

/// The class path of an unpacked release.
fn release(home: &Path) -> Option<Vec<PathBuf>> {
    let mut jars = jars_in(&home.join("lib"));
    // Before 3.5.6 ZooKeeper's own jar lay beside lib, not in it.
    jars.extend(jars_in(home));
    jars.iter().any(|jar| is_server(jar)).then(|| {
        // Its configuration of the log, without which some log libraries tell everything.
        jars.push(home.join("conf"));
        jars
    })
}

fn is_server(jar: &Path) -> bool {
    let name = jar.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let rest = name.strip_prefix("zookeeper").and_then(|rest| rest.strip_suffix(".jar"));
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('-').is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn jars_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_jar = |file: &PathBuf| file.extension().is_some_and(|it| it == "jar");
    let mut jars: Vec<_> = entries.map(|entry| entry.path()).filter(is_jar).collect();
    jars.sort();
    jars
}

/// The class path of the release that a start script belongs to: in the folder above `bin`, or in its `libexec`,
/// as Homebrew has it.
fn beside(script: &Path) -> Option<Vec<PathBuf>> {
    let script = script.canonicalize().ok()?;
    let home = script.parent()?.parent()?;
    release(home).or_else(|| release(&home.join("libexec")))
}

/// The class path of Debian's packages. The other jars are named by the manifest of the first, but these.
fn debian(folder: &Path) -> Option<Vec<PathBuf>> {
    let there = |name: &str| Some(folder.join(name)).filter(|jar| jar.is_file());
    let server = there("zookeeper.jar")?;
    // Without one of the first two it runs as well, but cannot say why it ends; the netty ones are for TLS.
    let log = there("slf4j-simple.jar").or_else(|| there("slf4j-nop.jar"));
    let netty = ["netty-codec.jar", "netty-resolver.jar"].into_iter().filter_map(there);
    Some([server].into_iter().chain(log).chain(netty).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A folder with empty files.
    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        folder
    }

    fn names(class_path: &[PathBuf]) -> Vec<&str> {
        class_path.iter().map(|jar| jar.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn a_named_home_wins_over_a_script_and_that_over_debians_jars() {
        let home = folder(&["lib/zookeeper-3.9.2.jar", "lib/netty-codec-4.jar"]);
        let other = folder(&["bin/zkServer.sh", "lib/zookeeper-3.7.0.jar"]);
        let debian = folder(&["zookeeper.jar"]);
        let mut at = Surroundings {
            zookeeper_home: Some(home.path().into()),
            path: other.path().join("bin").into(),
            debian_jars: debian.path().into(),
            ..Surroundings::default()
        };
        let first = |at: &Surroundings| Found::look(at).unwrap().class_path.unwrap();
        assert_eq!(names(&first(&at)), ["netty-codec-4.jar", "zookeeper-3.9.2.jar", "conf"]);
        at.zookeeper_home = None;
        assert_eq!(names(&first(&at)), ["zookeeper-3.7.0.jar", "conf"]);
        at.path = OsString::new();
        assert_eq!(names(&first(&at)), ["zookeeper.jar"]);
    }

    #[test]
    fn a_named_home_without_zookeeper_is_an_error_and_not_passed_over() {
        let home = folder(&["lib/zookeeper-jute-3.9.2.jar", "lib/readme.txt"]);
        let debian = folder(&["zookeeper.jar"]);
        let at = Surroundings {
            zookeeper_home: Some(home.path().into()),
            debian_jars: debian.path().into(),
            ..Surroundings::default()
        };
        let error = Found::look(&at).unwrap_err().to_string();
        assert!(error.contains("ZOOKEEPER_HOME") && error.contains(home.path().to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_script_of_homebrew_leads_to_the_jars_in_libexec() {
        let cellar = folder(&["bin/zkServer", "libexec/lib/zookeeper-3.9.3.jar"]);
        let bin = folder(&[]);
        std::os::unix::fs::symlink(cellar.path().join("bin/zkServer"), bin.path().join("zkServer")).unwrap();
        let at = Surroundings { path: bin.path().into(), ..Surroundings::default() };
        let class_path = Found::look(&at).unwrap().class_path.unwrap();
        assert_eq!(names(&class_path), ["zookeeper-3.9.3.jar", "conf"]);
    }

    #[test]
    fn debians_jars_come_with_a_log_and_what_tls_needs() {
        let jars =
            ["zookeeper.jar", "slf4j-nop.jar", "slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar"];
        let folder = folder(&jars);
        let wanted = ["zookeeper.jar", "slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar"];
        assert_eq!(names(&debian(folder.path()).unwrap()), wanted);
    }

    #[test]
    fn java_is_taken_from_its_named_home_or_else_from_the_path() {
        let home = folder(&["bin/java"]);
        let bin = folder(&["java"]);
        let mut at = Surroundings {
            java_home: Some(home.path().into()),
            path: bin.path().into(),
            ..Surroundings::default()
        };
        assert_eq!(Found::look(&at).unwrap().java, Some(home.path().join("bin/java")));
        at.java_home = Some("/nowhere".into());
        assert_eq!(Found::look(&at).unwrap().java, Some(bin.path().join("java")));
    }

    #[test]
    fn the_error_names_three_ways_to_get_zookeeper() {
        let error = Found::default().complete().unwrap_err().to_string();
        for way in ["ZK_CONNECT", "ZOOKEEPER_HOME", "apt-get install"] {
            assert!(error.contains(way), "{way} is not in: {error}");
        }
        let no_java = Found { java: None, class_path: Some(Vec::new()) };
        assert!(no_java.complete().unwrap_err().to_string().contains("there is no Java"));
    }
}

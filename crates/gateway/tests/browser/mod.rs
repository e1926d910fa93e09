//! A browser that looks at a gateway: Chromium without a window, asked over WebDriver.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gateway::serve::{Limits, serve};
use gateway::tls::Tls;
use gateway::{App, Guard, api};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, LoggingPrefsLogLevel};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;

/// How long anything may take: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// No request of a page is given up because the machine is busy.
const PATIENT: &str = "AbortSignal.timeout = () => new AbortController().signal;";

/// A gateway on a port.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    app: Arc<App>,
    serving: JoinHandle<usize>,
}

impl Served {
    /// Serves on any port that is free.
    pub(crate) async fn start(app: &Arc<App>, guard: Guard) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        Self::on(listener, None, app, guard)
    }

    /// Serves on any port, to those who speak TLS.
    pub(crate) async fn by_tls(app: &Arc<App>, tls: Tls) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        Self::on(listener, Some(tls), app, Guard::default())
    }

    fn on(listener: TcpListener, tls: Option<Tls>, app: &Arc<App>, guard: Guard) -> Self {
        let address = listener.local_addr().unwrap();
        let closing = {
            let app = app.clone();
            async move { app.closing().await }
        };
        let limits = Limits { finish: Duration::from_millis(500), ..Limits::default() };
        let serving = tokio::spawn(serve(listener, tls, api::router(app.clone(), guard), limits, closing));
        Self { address, app: app.clone(), serving }
    }

    pub(crate) async fn stop(self) {
        self.app.close();
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

/// The program that starts browsers, and ends with this.
struct Driver {
    _child: Child,
    url: String,
    /// Where both leave what they do not take away.
    folder: TempDir,
}

impl Driver {
    async fn start() -> Self {
        let mut said = String::new();
        for _ in 0..10 {
            match timeout(PATIENCE, Self::try_to_start()).await.expect("chromedriver starts in time") {
                Ok(driver) => return driver,
                Err(instead) => said = instead,
            }
        }
        panic!("chromedriver does not start: {said}");
    }

    /// Gives what it said instead where it ends at once, as it does where it cannot have its port for IPv4 and for IPv6.
    async fn try_to_start() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        command
            .env("TMPDIR", folder.path())
            .env("HOME", folder.path())
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().expect("`make test` installs chromium-driver");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("successfully on port ") {
                let url = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
                // It goes on talking, and must not wait for somebody to listen.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { _child: child, url, folder });
            }
            said += line.as_str();
            said.push('\n');
        }
        Err(said)
    }
}

/// A page of a browser.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) driver: WebDriver,
}

/// Opens the page at `path` of a gateway, and does something with it. Whatever becomes of that, the browser ends; and it had nothing to complain
/// about: no violation of the page's policy, and no error that nobody caught.
pub(crate) async fn browse<F: Future<Output = ()>>(
    address: SocketAddr,
    path: &str,
    visit: impl FnOnce(Page) -> F,
) {
    let driver = Driver::start().await;
    look(&driver, wanted(), format!("http://{address}/{path}"), visit).await;
}

/// As somebody whose certificate the browser shows to this gateway: where that is, and its key. The gateway's own is taken as it is.
pub(crate) async fn browse_certified<F: Future<Output = ()>>(
    address: SocketAddr,
    path: &str,
    (chain, key): (&Path, &Path),
    visit: impl FnOnce(Page) -> F,
) {
    let driver = Driver::start().await;
    let place = driver.folder.path();
    let (database, bundle) = (place.join(".pki/nssdb"), place.join("identity.p12"));
    std::fs::create_dir_all(&database).unwrap();
    let database = format!("sql:{}", database.display());
    // The browser has its certificates there, and takes a key with its certificate in one file only.
    let export: [&OsStr; 10] = [
        "pkcs12".as_ref(),
        "-export".as_ref(),
        "-in".as_ref(),
        chain.as_ref(),
        "-inkey".as_ref(),
        key.as_ref(),
        "-passout".as_ref(),
        "pass:".as_ref(),
        "-out".as_ref(),
        bundle.as_ref(),
    ];
    done("openssl", &export).await;
    done("certutil", &["-N".as_ref(), "-d".as_ref(), database.as_ref(), "--empty-password".as_ref()]).await;
    let import: [&OsStr; 6] =
        ["-d".as_ref(), database.as_ref(), "-i".as_ref(), bundle.as_ref(), "-W".as_ref(), "".as_ref()];
    done("pk12util", &import).await;
    let site = format!("https://localhost:{}", address.port());
    let mut wanted = wanted();
    wanted.accept_insecure_certs(true).unwrap();
    // Without anybody to choose it.
    let chosen = json!({format!("{site},*"): {"setting": {"filters": [{}]}}});
    let settings = json!({"profile.content_settings.exceptions.auto_select_certificate": chosen});
    wanted.add_experimental_option("prefs", settings).unwrap();
    look(&driver, wanted, format!("{site}/{path}"), visit).await;
}

/// Runs a program that has to do well.
async fn done(program: &str, arguments: &[&OsStr]) {
    let mut command = Command::new(program);
    let run = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, run).await.expect("it ends in time");
    let output = output.unwrap_or_else(|error| panic!("`make test` installs {program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn wanted() -> ChromeCapabilities {
    let mut wanted = DesiredCapabilities::chrome();
    for flag in [
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1280,860",
    ] {
        wanted.add_arg(flag).unwrap();
    }
    wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
    wanted
}

async fn start(driver: &Driver, wanted: ChromeCapabilities) -> WebDriverResult<WebDriver> {
    timeout(PATIENCE, WebDriver::new(&*driver.url, wanted)).await.expect("a browser in time")
}

async fn look<F: Future<Output = ()>>(
    driver: &Driver,
    wanted: ChromeCapabilities,
    url: String,
    visit: impl FnOnce(Page) -> F,
) {
    let mut browser = start(driver, wanted.clone()).await;
    for _ in 0..2 {
        // A browser gives up by itself when the machine is too busy for it to start.
        if browser.is_err() {
            browser = start(driver, wanted.clone()).await;
        }
    }
    let browser = browser.unwrap();
    let visited = browser.run_and_quit(async move |driver: WebDriver| {
        let page = Page { driver: driver.clone() };
        page.before_all(PATIENT).await;
        driver.goto(&*url).await?;
        visit(page).await;
        let complaints: Vec<String> =
            driver.browser_log().await?.into_iter().map(|entry| entry.message).collect();
        let grave = |told: &&String| {
            ["Content Security Policy", "Uncaught", "Trusted"].iter().any(|word| told.contains(word))
        };
        assert_eq!(complaints.iter().find(grave), None, "{complaints:#?}");
        Ok::<_, WebDriverError>(())
    });
    visited.await.unwrap();
}

impl Page {
    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.try_run(script).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    async fn try_run(&self, script: &str) -> WebDriverResult<Value> {
        let answer = timeout(PATIENCE, self.driver.execute(script, Vec::<Value>::new())).await;
        Ok(answer.expect("a script ends in time")?.json().clone())
    }

    /// The value of an expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression};")).await
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let (begin, script) = (Instant::now(), format!("return Boolean({expression});"));
        loop {
            // A page that is just replaced by another one says nothing.
            let is = self.try_run(&script).await;
            if is.as_ref().is_ok_and(|is| *is == json!(true)) {
                return;
            }
            if begin.elapsed() > PATIENCE {
                panic!(
                    "waited in vain for {expression}, which is {is:?}; there is {:#}",
                    self.value("document.body.innerText").await
                );
            }
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until a place of the page is seen with this text.
    pub(crate) async fn says(&self, place: &str, text: &str) {
        let (place, text) = (json!(place), json!(text));
        let seen = format!(
            "((place) => place?.checkVisibility() && place.textContent.includes({text}))(document.querySelector({place}))"
        );
        self.until(&seen).await;
    }

    /// Presses keys where the focus is.
    pub(crate) async fn keys(&self, keys: impl Into<TypingData>) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// Clicks at a place once it is seen.
    pub(crate) async fn click(&self, place: &str) {
        let begin = Instant::now();
        loop {
            self.until(&format!("document.querySelector({})?.checkVisibility()", json!(place))).await;
            // It may be drawn anew, or something may lie before it, between the look and the click; then nothing is clicked.
            let clicked = async { self.driver.find(By::Css(place)).await?.click().await };
            match clicked.await {
                Ok(()) => return,
                Err(error) if begin.elapsed() > PATIENCE => panic!("{place}: {error}"),
                Err(_) => sleep(Duration::from_millis(30)).await,
            }
        }
    }

    /// Waits until this element has the focus.
    pub(crate) async fn focuses(&self, id: &str) {
        let id = json!(id);
        self.until(&format!("(document.activeElement.id || document.activeElement.tagName) === {id}")).await;
    }

    /// Which element has the focus.
    pub(crate) async fn focus(&self) -> Value {
        self.value("document.activeElement.id || document.activeElement.tagName").await
    }

    /// Sends a command to the browser that WebDriver does not know.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let answer = self.driver.cdp().send_raw(method, parameters).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Has a script run before those of each page from now on.
    async fn before_all(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// Loads the page anew, with a script that runs before its own.
    pub(crate) async fn again_with(&self, script: &str) {
        self.before_all(script).await;
        self.driver.refresh().await.unwrap();
    }

    /// How those who hear the page are told of what has this role and this name: its description.
    pub(crate) async fn heard(&self, role: &str, name: &str) -> String {
        let begin = Instant::now();
        loop {
            let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await;
            let nodes = tree["nodes"].as_array().unwrap();
            let found =
                nodes.iter().find(|node| node["role"]["value"] == role && node["name"]["value"] == name);
            if let Some(found) = found {
                return found["description"]["value"].as_str().unwrap_or_default().to_owned();
            }
            assert!(begin.elapsed() < PATIENCE, "no {role} is called {name:?}");
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// A screen of this size.
    pub(crate) async fn screen(&self, width: u32, height: u32, scale: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// That nothing is wider than the screen, once all is drawn for it.
    pub(crate) async fn fits(&self, what: &str) {
        let begin = Instant::now();
        loop {
            let wide = self
                .value(
                    "[document.documentElement, ...document.querySelectorAll('dialog[open], main, nav, .scroll')]
                        .filter((place) => place.scrollWidth > place.clientWidth)
                        .flatMap((place) => [place, ...place.querySelectorAll('*')]
                            .map((one) => [one.tagName, one.id, one.className, one.getBoundingClientRect().right, place.clientWidth])
                            .filter((one) => one[3] > one[4]))",
                )
                .await;
            if wide == json!([]) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{what} is wider than its place: {wide}");
            sleep(Duration::from_millis(30)).await;
        }
    }
}

/// A row of the table, by what stands in it.
pub(crate) fn row(id: &str) -> String {
    format!(
        "[...document.querySelectorAll('tbody tr[data-at]')].find((row) => row.querySelector('.id .text').textContent === {})",
        json!(id)
    )
}

/// Somebody stands for election.
pub(crate) fn stand(zk: &FakeZk, id: &str, turn: u32, data: &proto::NodeData) {
    let path = format!("/headkeeper/time/election/{id}-{turn:010}");
    zk.put_ephemeral(&path, proto::encode(data).unwrap(), zk.stranger());
}

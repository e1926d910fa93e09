//! Whether an answer is one that the OpenAPI document tells of. Each answer that a test gets is looked up there.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use futures::executor::block_on;
use gateway::{App, Guard, api};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// What was asked.
pub(super) struct Asked {
    method: Method,
    path: String,
}

impl Asked {
    pub(super) fn of(request: &Request<Body>) -> Self {
        Self { method: request.method().clone(), path: request.uri().path().to_owned() }
    }

    /// Looks for the status, the type and the headers of the answer under the path and the method.
    pub(super) fn was_told(&self, app: &Arc<App>, status: StatusCode, headers: &HeaderMap) {
        let paths = document(app)["paths"].as_object().unwrap();
        let Some((path, item)) = paths.iter().find(|(told, _)| is_one_of(&self.path, told)) else { return };
        let method = if self.method == Method::HEAD { &Method::GET } else { &self.method };
        let operation = &item[method.as_str().to_lowercase()];
        let asked = format!("{} {path}: {status}", self.method);
        if operation.is_null() {
            assert!(!status.is_success() || self.method == Method::OPTIONS, "{asked}, and it is not told of");
            return;
        }
        let told = &operation["responses"][status.as_str()];
        assert!(told.is_object(), "{asked} is not told");
        let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().split(';').next().unwrap());
        match (kind, told["content"].as_object()) {
            (Some(kind), content) => {
                assert!(content.is_some_and(|told| told.contains_key(kind)), "{asked}: {kind} is not told");
            }
            (None, content) => assert!(content.is_none(), "{asked}: it has no type, told is {content:?}"),
        }
        for name in [ETAG, LOCATION] {
            let is_told = told["headers"].get(name.as_str()).is_some();
            let is_there = headers.contains_key(&name);
            // A stream of a service without a state has none, and is told not to; that nothing changed needs no word on tags.
            let may_lack = path.ends_with("/watch");
            assert!(is_there || !is_told || may_lack, "{asked}: {name} is told, and not there");
            assert!(is_told || !is_there || status == 304, "{asked}: {name} is there, and not told");
        }
    }
}

fn is_one_of(path: &str, told: &str) -> bool {
    let (parts, told): (Vec<_>, Vec<_>) = (path.split('/').collect(), told.split('/').collect());
    parts.len() == told.len() && parts.iter().zip(&told).all(|(part, it)| it.starts_with('{') || part == it)
}

/// The document, which is the same for all. Nothing is waited for, so that no paused clock moves.
fn document(app: &Arc<App>) -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let request =
            Request::get("/v1/openapi.json").header("host", "localhost").body(Body::empty()).unwrap();
        let router = api::router(app.clone(), Guard::default());
        let body = block_on(async { router.oneshot(request).await.unwrap().into_body().collect().await });
        serde_json::from_slice(&body.unwrap().to_bytes()).unwrap()
    })
}

//! The console at `/`: pages that show the fleet live. They are part of the program, and read and write through `/v1` as anybody does.

mod asset;

use std::future::ready;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;

use self::asset::Asset;
use crate::Problem;

/// Everything that a browser asks for. The page names its parts relative to itself, so it works behind a prefix, too.
const ASSETS: &[Asset] = &[
    Asset::new("/", "text/html; charset=utf-8", include_bytes!("assets/index.html")),
    Asset::style("/console/style.css", include_bytes!("assets/style.css")),
    Asset::new("/console/icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
    Asset::script("/console/api.js", include_bytes!("assets/api.js")),
    Asset::script("/console/app.js", include_bytes!("assets/app.js")),
    Asset::script("/console/changes.js", include_bytes!("assets/changes.js")),
    Asset::script("/console/chart.js", include_bytes!("assets/chart.js")),
    Asset::script("/console/dialog.js", include_bytes!("assets/dialog.js")),
    Asset::script("/console/dom.js", include_bytes!("assets/dom.js")),
    Asset::script("/console/instance.js", include_bytes!("assets/instance.js")),
    Asset::script("/console/keys.js", include_bytes!("assets/keys.js")),
    Asset::script("/console/services.js", include_bytes!("assets/services.js")),
    Asset::script("/console/state.js", include_bytes!("assets/state.js")),
    Asset::script("/console/storage.js", include_bytes!("assets/storage.js")),
    Asset::script("/console/stream.js", include_bytes!("assets/stream.js")),
    Asset::script("/console/table.js", include_bytes!("assets/table.js")),
    Asset::script("/console/timeline.js", include_bytes!("assets/timeline.js")),
    Asset::script("/console/trust.js", include_bytes!("assets/trust.js")),
    Asset::script("/console/words.js", include_bytes!("assets/words.js")),
];

/// What serves the console. It asks nobody for a token: a browser has none to show before the page is there, and the page holds nothing
/// of anybody.
pub(crate) fn router() -> Router {
    let assets = ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move |headers: HeaderMap| ready(asset.answer(&headers))))
    });
    assets.method_not_allowed_fallback(async || Problem::method_not_allowed())
}

//! The document that tells what there is.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};

use super::parameters::Parameters;
use super::{App, JSON};
use crate::Problem;
use crate::problem::Details;

/// What stands above the paths. They come from the handlers themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headkeeper gateway",
        description = "Programs in any language register and discover services in ZooKeeper with plain HTTP. Errors are problem details \
                       (RFC 9457). Where the gateway was started with tokens, each request but those to /healthz and /readyz takes one.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "discovery", description = "who is there"),
        (name = "registration", description = "being there"),
        (name = "operation", description = "the gateway itself"),
    ),
    security((), ("token" = []))
)]
pub(super) struct About;

/// This document
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "operation",
    responses(
        (status = 200, description = "the document", body = Object),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn openapi(State(_): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let query = Parameters::of(&uri);
    query.done::<__path_openapi>()?;
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| {
        let mut document = super::documented().into_openapi();
        document.paths.paths.iter_mut().for_each(|(path, item)| tell_what_any_may_get(path, item));
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", token);
        let written = serde_json::to_vec(&document);
        written.expect("text under text can always be written").into()
    });
    Ok(([(CONTENT_TYPE, JSON)], written.clone()).into_response())
}

/// Adds the refusals that do not depend on the handler: who may ask, and how large and slow a body may be. Probes are refused to nobody.
fn tell_what_any_may_get(path: &str, item: &mut PathItem) {
    let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
    for operation in operations.into_iter().flatten() {
        let takes_body = operation.request_body.is_some();
        let told = &mut operation.responses.responses;
        let probe = matches!(path, "/healthz" | "/readyz");
        for (applies, status, description) in [
            (!probe, "401", "a token is needed, or this one is not accepted"),
            (!probe, "403", "the token is for reading alone, or the request is for or from another site"),
            (takes_body, "408", "the body did not come in time"),
            (takes_body, "413", "the body is too large"),
        ] {
            if applies {
                let problem = Content::new(Some(Ref::from_schema_name(Details::name())));
                let response = ResponseBuilder::new()
                    .description(description)
                    .content("application/problem+json", problem);
                told.entry(status.to_owned()).or_insert_with(|| response.build().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::Router;

    use super::*;

    #[test]
    fn every_path_of_the_router_is_documented_and_the_reverse() {
        let (router, document): (Router<Arc<App>>, _) = super::super::documented().split_for_parts();
        let documented: BTreeSet<_> = document.paths.paths.keys().cloned().collect();
        // It tells them to those who debug alone, in quotes.
        let told = format!("{router:?}");
        let routes = told.split("fallback_router").next().unwrap();
        let served: BTreeSet<_> =
            routes.split('"').filter(|part| part.starts_with('/')).map(str::to_owned).collect();
        assert_eq!(served, documented, "{told}");
        assert!(served.len() > 8, "{served:?}");
    }
}

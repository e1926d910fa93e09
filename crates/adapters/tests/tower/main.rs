//! The service of tower, over services that tests steer.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bodies;
mod choosing;
#[path = "../common/mod.rs"]
mod common;
mod discovering;
mod failing;
mod keeping;
mod waiting;

use std::future::ready;
use std::io;

use adapters::tower::{Balance, Error};
use loadbalance::Instance;
use tower::util::BoxCloneService;
use tower::{BoxError, Service, ServiceExt, service_fn};

use crate::common::within;

/// Tells who was asked, and answers with the name.
pub(crate) type Names = BoxCloneService<String, String, io::Error>;

/// A service that answers with the name of the instance; `down` is refused.
pub(crate) fn named(instance: &Instance) -> Result<Names, BoxError> {
    let id = instance.id.to_string();
    Ok(BoxCloneService::new(service_fn(move |_: String| {
        ready(if id == "down" { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(id.clone()) })
    })))
}

pub(crate) async fn ask(balance: &mut Balance<Names, String>, request: &str) -> Result<String, Error> {
    within("an answer", balance.ready().await.unwrap().call(request.to_owned())).await
}

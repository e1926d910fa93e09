//! Who is picked goes by the request.

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::io;
use std::sync::{Arc, Mutex};

use adapters::tower::{Balance, Error, Tried};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use loadbalance::{Balancer, Hash, Key, PickError};
use tower::retry::{Policy, Retry};
use tower::{ServiceExt, service_fn};

use crate::common::instance;
use crate::{ask, named};

#[tokio::test]
async fn a_second_try_goes_to_somebody_who_was_not_tried() {
    #[derive(Clone)]
    struct Twice(u8);
    impl<B: Body> Policy<Request<()>, Response<B>, Error> for Twice {
        type Future = Ready<()>;

        fn retry(
            &mut self,
            _: &mut Request<()>,
            result: &mut Result<Response<B>, Error>,
        ) -> Option<Ready<()>> {
            let again = result.is_err() && self.0 > 0;
            self.0 = self.0.saturating_sub(1);
            again.then(|| ready(()))
        }

        fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
            Some(request.clone())
        }
    }

    let instances = ["a", "b", "c"].map(|name| instance(name, format!("{name}:1")));
    // Always the same one, for the same key.
    let balancer = Balancer::fixed(instances, Hash::by_url());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let balance = Balance::http(balancer.clone(), move |instance| {
        let (id, heard) = (instance.id.clone(), heard.clone());
        Ok(service_fn(move |_: Request<()>| {
            let mut heard = heard.lock().unwrap();
            heard.push(id.clone());
            let answers = heard.len() == 3;
            ready(if answers {
                Ok(Response::new(http_body_util::Empty::<Bytes>::new()))
            } else {
                Err(io::Error::other("no"))
            })
        }))
    })
    .key(|request: &Request<()>| Some(Key::Url(request.uri().path())));

    let tried = Tried::default();
    let request = Request::get("/x").extension(tried.clone()).body(()).unwrap();
    Retry::new(Twice(2), balance.clone()).oneshot(request.clone()).await.unwrap();
    let names: HashSet<_> = asked.lock().unwrap().iter().cloned().collect();
    assert_eq!((names.len(), tried.ids()), (3, names));

    // Nobody is left, and nobody is asked twice.
    let error = balance.clone().oneshot(request).await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::Tried { candidates: 3 })), "{error:?}");
    assert_eq!(asked.lock().unwrap().len(), 3);

    // Without one it is the same one again.
    let first = asked.lock().unwrap()[0].clone();
    let request = Request::get("/x").body(()).unwrap();
    let error = Retry::new(Twice(1), balance).oneshot(request).await.unwrap_err();
    assert_eq!(error.instance(), Some(&first));
    assert_eq!(asked.lock().unwrap()[3..], [first.clone(), first]);
}

#[tokio::test]
async fn a_key_is_found_in_the_request() {
    let instances = ["a", "b", "c"].map(|name| instance(name, format!("{name}:1")));
    let balancer = Balancer::fixed(instances, Hash::by_key());
    let mut balance =
        Balance::new(balancer.clone(), named).key(|request: &String| Some(Key::Bytes(request.as_bytes())));
    for user in 0..20 {
        let user = user.to_string();
        let expected = balancer.pick(&loadbalance::Request::keyed(&user)).unwrap().id.to_string();
        assert_eq!(ask(&mut balance, &user).await.unwrap(), expected);
    }
    let mut without = Balance::new(balancer, named);
    let error = ask(&mut without, "").await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::KeyMissing { .. })), "{error:?}");
}

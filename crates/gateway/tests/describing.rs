//! What the gateway tells of itself: the OpenAPI document, and what Prometheus reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use common::{Gateway, data, register};
use gateway::Guard;
use gateway::fleet::Options;
use gateway::guard::Tokens;
use serde_json::{Value, json};
use zk_session::fake::FakeZk;

const A: &str = "/v1/services/time/instances/a";

#[tokio::test(start_paused = true)]
async fn each_path_that_is_documented_is_served_by_the_methods_that_are() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let tokens = Some(Tokens::parse("read read-read-read-read").unwrap());
    let guarded = Gateway::guarded(&zk, Guard { tokens, ..Guard::default() });
    let document = gateway.get("/v1/openapi.json").await.is(200).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    // What is refused because it is not known, tools know beforehand.
    for body in ["Registration", "Change"] {
        assert_eq!(document["components"]["schemas"][body]["additionalProperties"], false, "{body}");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{service}", "time").replace("{id}", "a");
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let operation = &item[method.to_lowercase()];
            let answer = gateway.call(method, &path, "{}").await;
            assert_eq!(answer.status == 405, operation.is_null(), "{method} {path}: {}", answer.status);
            if !operation.is_null() {
                let told = operation["responses"].as_object().unwrap();
                assert!(
                    told.contains_key(answer.status.as_str()),
                    "{method} {path}: {} is not told",
                    answer.status
                );
                let can_be_wrong = !path.ends_with('z');
                assert_eq!(told.contains_key("400"), can_be_wrong, "{method} {path}");
                let refused = guarded.call(method, &path, "{}").await.status;
                assert!(told.contains_key(refused.as_str()), "{method} {path}: {refused} is not told");
                assert_eq!(told.contains_key("413"), operation["requestBody"].is_object(), "{method} {path}");
                assert!(!operation["summary"].as_str().unwrap().is_empty());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_what_is_documented() {
    let zk = FakeZk::default();
    register(&zk, "time", "b", &data(2).with_code("c").with_metadata("zone", "b"));
    zk.put("/headkeeper/time/instances/bad", "nonsense");
    zk.put_ephemeral(
        "/headkeeper/time/election/b-0000000007",
        proto::encode(&data(2)).unwrap(),
        zk.stranger(),
    );
    let gateway = Gateway::start(&zk);
    let document = gateway.get("/v1/openapi.json").await.is(200).await;
    let body = json!({"server_ip": "h", "server_port": 1, "ttl": 60});
    for (method, documented, path, body) in [
        ("PUT", "/v1/services/{service}/instances/{id}", A.to_owned(), body),
        ("GET", "/v1/services/{service}/instances/{id}", A.to_owned(), json!({})),
        ("PATCH", "/v1/services/{service}/instances/{id}", A.to_owned(), json!({"weight": 2})),
        ("POST", "/v1/services/{service}/instances/{id}/renew", format!("{A}/renew"), Value::Null),
        ("GET", "/v1/services", "/v1/services".to_owned(), json!({})),
        ("GET", "/v1/services/{service}", "/v1/services/time".to_owned(), json!({})),
        ("GET", "/v1/services/{service}", "/v1/services/nobody".to_owned(), json!({})),
        ("GET", "/v1/services/{service}/master", "/v1/services/time/master".to_owned(), json!({})),
        ("GET", "/v1/services/{service}/pick", "/v1/services/time/pick?explain=true".to_owned(), json!({})),
        ("GET", "/v1/prometheus/targets", "/v1/prometheus/targets".to_owned(), json!({})),
        ("GET", "/healthz", "/healthz".to_owned(), json!({})),
        ("GET", "/readyz", "/readyz".to_owned(), json!({})),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = gateway.call(method, &path, body).await;
        assert!(answer.status.is_success() || answer.status == 404, "{method} {path}: {}", answer.status);
        let status = answer.status.as_u16().to_string();
        let kind = answer.header("content-type").to_owned();
        let given = answer.json().await;
        let operation = &document["paths"][documented][method.to_lowercase()];
        let schema = &operation["responses"][&status]["content"][&kind]["schema"];
        assert!(schema.is_object(), "{method} {documented} {status} {kind}: {given:#}");
        assert!(fits(&document, schema, &given), "{method} {path}: {given:#}\nis no {schema:#}");
    }
    // What tells whether it fits can tell that it does not.
    let schema = &document["components"]["schemas"]["Service"];
    let service = gateway.get("/v1/services/time").await.json().await;
    for (key, value) in [
        ("source", json!("fresh")),
        ("instances", json!([{}])),
        ("unknown", json!(1)),
        ("revision", json!(1)),
    ] {
        let mut other = service.clone();
        other[key] = value;
        assert!(fits(&document, schema, &service) && !fits(&document, schema, &other), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_changes_and_of_what_is_known_is_documented_too() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let document = gateway.get("/v1/openapi.json").await.is(200).await;
    let body = json!({"server_ip": "h", "server_port": 1, "ttl": 600});
    // Each answer is looked up where it is received; here is what has to be among them.
    gateway.call("PUT", A, &body).await.is(201).await;
    let mut events = gateway.get("/v1/services/time/watch").await;
    let (_, event) = events.event().await;
    let schema = &document["components"]["schemas"]["Service"];
    assert!(fits(&document, schema, &event), "{event:#}");
    let mut other = event.clone();
    other["instances"][0]["weight"] = json!("1");
    assert!(!fits(&document, schema, &other), "what tells whether it fits can tell that it does not");
    drop(events);
    for path in ["/v1/services", "/v1/services/time", "/v1/services/time/master", A] {
        let tag = gateway.get(path).await.header("etag").to_owned();
        assert_eq!(gateway.get_with(path, ("if-none-match", &tag)).await.status, 304, "{path}");
    }
    assert_eq!(gateway.call("DELETE", A, "").await.status, 204);

    gateway.call("PUT", A, &body).await.is(201).await;
    zk.stop();
    gateway.becomes("/v1/services/time", |service| service["source"] == "stale").await;
    let b = A.replace("/a", "/b");
    gateway.call("PUT", &b, &body).await.is(202).await;
    gateway.call("PATCH", A, json!({"weight": 2})).await.is(202).await;
    assert_eq!(gateway.call("DELETE", A, "").await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn the_parameters_that_are_documented_are_accepted_and_no_others() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let document = gateway.get("/v1/openapi.json").await.is(200).await;
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{service}", "time").replace("{id}", "a");
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let told = operation["parameters"].as_array().into_iter().flatten();
            let told: BTreeSet<_> = told
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            if ["/healthz", "/readyz", "/metrics"].contains(&path.as_str()) {
                // Whoever probes adds what he likes.
                assert!(told.is_empty(), "{path}");
                assert_eq!(gateway.get(&format!("{path}?nothing=1&%zz")).await.status, 200, "{path}");
                continue;
            }
            // A refusal tells all that there are.
            let answer = gateway.call(&method, &format!("{path}?nothing=1"), "{}").await;
            let detail = answer.problem(400, "bad-request").await;
            let accepted = detail.strip_prefix("\"nothing\" is no parameter here; accepted: ");
            let accepted = accepted.unwrap_or_else(|| panic!("{method} {path}: {detail}"));
            let accepted: BTreeSet<_> = accepted.split(", ").filter(|name| *name != "none").collect();
            assert_eq!(accepted, told, "{method} {path}");
            // And each of them is looked at: whatever is wrong with its value, or with another one, it is not its name.
            for name in told {
                seen += 1;
                let answer = gateway.call(&method, &format!("{path}?{name}=true"), "{}").await;
                if answer.status == 400 {
                    let detail = answer.problem(400, "bad-request").await;
                    assert!(!detail.contains("is no parameter here"), "{method} {path}: {detail}");
                }
            }
        }
    }
    assert!(seen >= 9, "{seen}");
}

#[tokio::test(start_paused = true)]
async fn the_bodies_that_are_documented_are_accepted_and_no_others() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let document = gateway.get("/v1/openapi.json").await.is(200).await;
    gateway.call("PUT", A, json!({"server_ip": "h", "server_port": 1, "ttl": 600})).await.is(201).await;
    let mut seen = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{service}", "time").replace("{id}", "a");
        for (method, operation) in item.as_object().unwrap() {
            let Some(content) = operation["requestBody"]["content"].as_object() else { continue };
            let method = method.to_uppercase();
            for kind in ["application/json", "application/merge-patch+json", "text/plain", "application/xml"]
            {
                let request = Request::builder().method(&*method).uri(&path).header("host", "localhost");
                let request = request.header("content-type", kind).body(Body::from("{}")).unwrap();
                let status = gateway.send(request).await.status;
                assert_eq!(status == 415, !content.contains_key(kind), "{method} {path} {kind}: {status}");
            }
            let properties = &resolved(&document, &content["application/json"]["schema"])["properties"];
            for (name, property) in properties.as_object().unwrap() {
                let value = match property["type"][0].as_str().unwrap() {
                    "string" => json!("x"),
                    "integer" => json!(1),
                    "boolean" => json!(true),
                    "object" => json!({"zone": "b"}),
                    other => panic!("{name}: {other}"),
                };
                let mut body = match &*method {
                    "PUT" => json!({"server_ip": "h", "server_port": 1}),
                    _ => json!({}),
                };
                body[name] = value;
                let answer = gateway.call(&method, &path, &body).await;
                assert!(answer.status.is_success(), "{method} {body}: {:#}", answer.json().await);
                seen.insert(name.clone());
            }
            let detail =
                gateway.call(&method, &path, "{\"nothing\": 1}").await.problem(400, "bad-request").await;
            assert!(detail.contains("nothing"), "{method}: {detail}");
        }
    }
    assert!(seen.contains("ttl") && seen.contains("drain"), "{seen:?}");
}

/// Whether a value is what a schema says: it has all that is required, and nothing that is not told.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        return fits(document, &document["components"]["schemas"][name.rsplit('/').next().unwrap()], value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().any(|choice| fits(document, choice, value));
    }
    if let Some(all) = schema["allOf"].as_array() {
        let merged = all.iter().map(|part| resolved(document, part)).fold(
            json!({"type": "object"}),
            |mut into, part| {
                for (name, property) in part["properties"].as_object().unwrap() {
                    into["properties"][name] = property.clone();
                }
                let required =
                    into["required"].as_array().into_iter().chain(part["required"].as_array()).flatten();
                into["required"] = required.cloned().collect();
                into
            },
        );
        return fits(document, &merged, value);
    }
    if let Some(accepted) = schema["enum"].as_array() {
        return accepted.contains(value);
    }
    let kinds: Vec<_> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    kinds.into_iter().any(|kind| match kind {
        "object" => value.as_object().is_some_and(|object| {
            let properties = &schema["properties"];
            let others = &schema["additionalProperties"];
            let required = schema["required"].as_array().into_iter().flatten();
            required.into_iter().all(|name| object.contains_key(name.as_str().unwrap()))
                && object.iter().all(|(name, value)| match properties.get(name) {
                    Some(property) => fits(document, property, value),
                    None => others.is_object() && fits(document, others, value),
                })
        }),
        "array" => {
            value.as_array().is_some_and(|all| all.iter().all(|item| fits(document, &schema["items"], item)))
        }
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    })
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
        None => schema,
    }
}

#[tokio::test(start_paused = true)]
async fn prometheus_is_told_what_to_scrape() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1).with_weight(2).with_code("c").with_metadata("my zone", "<b>"));
    register(&zk, "time", "broker", &proto::NodeData::behind_broker("d"));
    register(&zk, "space", "b", &data(2));
    zk.put_ephemeral(
        "/headkeeper/time/election/a-0000000007",
        proto::encode(&data(1)).unwrap(),
        zk.stranger(),
    );
    let gateway = Gateway::start(&zk);
    let targets = gateway.get("/v1/prometheus/targets?service=time").await.is(200).await;
    assert_eq!(
        targets,
        json!([{"targets": ["127.0.0.1:1"], "labels": {
            "__meta_headkeeper_service": "time", "__meta_headkeeper_id": "a", "__meta_headkeeper_weight": "2",
            "__meta_headkeeper_master": "true", "__meta_headkeeper_unique_code": "c", "__meta_headkeeper_metadata_my_zone": "<b>"
        }}])
    );
    let all = gateway.get("/v1/prometheus/targets").await.is(200).await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    let both = gateway.get("/v1/prometheus/targets?service=space&service=time").await.is(200).await;
    assert_eq!(both.as_array().unwrap().len(), 2);
    gateway
        .get("/v1/prometheus/targets?service=space&service=nobody")
        .await
        .problem(404, "unknown-service")
        .await;
    gateway.get("/v1/prometheus/targets?service=a/b").await.problem(400, "bad-request").await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_read_does_not_keep_prometheus_from_the_others() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1).with_metadata("my zone", "b").with_metadata("my_zone", "c"));
    register(&zk, "secret", "b", &data(2));
    zk.refuse_reads("/headkeeper/secret", true);
    let targets =
        async |gateway: &Gateway, query: &str| gateway.get(&format!("/v1/prometheus/targets{query}")).await;
    for configured in [&[][..], &["time", "secret"]] {
        let gateway = Gateway::with(&zk, configured, Options::default());
        for query in ["", "?service=time&service=secret", "?service=time&service=time"] {
            let groups = targets(&gateway, query).await.is(200).await;
            assert_eq!(groups.as_array().unwrap().len(), 1, "{query}: {groups:#}");
            let labels = &groups[0]["labels"];
            assert_eq!(labels["__meta_headkeeper_metadata_my_zone"], "c");
            assert_eq!(labels["__meta_headkeeper_metadata_my_zone_2"], "b");
        }
        let detail = targets(&gateway, "?service=secret").await.problem(503, "not-known-yet").await;
        assert!(detail.contains("cannot be followed"), "{detail}");
        let text = String::from_utf8(gateway.get("/metrics").await.bytes().await).unwrap();
        assert!(text.contains("\nheadkeeper_services_without_list 1\n"), "{text}");
    }

    // A list that is only late is waited for: without it Prometheus would let its targets go.
    register(&zk, "video", "c", &data(3));
    zk.hold_reads("/headkeeper/video/instances", true);
    let gateway = Gateway::with(&zk, &["time", "video"], Options::default());
    targets(&gateway, "").await.problem(503, "not-known-yet").await;
    zk.hold_reads("/headkeeper/video/instances", false);
    assert_eq!(targets(&gateway, "").await.is(200).await.as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_metrics_tell_of_services_that_are_followed_alone() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::with(&zk, &[], Options { idle: Duration::from_secs(60), ..Options::default() });
    let text = async || String::from_utf8(gateway.get("/metrics").await.bytes().await).unwrap();
    gateway.get("/v1/services/time/pick").await.is(200).await;
    assert!(text().await.contains("headkeeper_picks_total{service=\"time\""));
    tokio::time::sleep(Duration::from_secs(90)).await;
    let told = text().await;
    assert!(told.contains("headkeeper_services_followed 0") && !told.contains("service=\"time\""), "{told}");
}

#[tokio::test(start_paused = true)]
async fn prometheus_is_told_how_the_gateway_is() {
    let zk = FakeZk::default();
    register(&zk, "ti\"me", "a", &data(1));
    register(&zk, "ti\"me", "b", &data(2).with_weight(0));
    let gateway = Gateway::start(&zk);
    let service = "/v1/services/ti%22me";
    for _ in 0..3 {
        gateway.get(&format!("{service}/pick")).await.is(200).await;
    }
    gateway
        .call("PUT", &format!("{service}/instances/c"), "{\"server_ip\":\"h\",\"server_port\":1}")
        .await
        .is(201)
        .await;
    // Two paths of one length are two.
    gateway.get("/healthz").await.is(200).await;
    gateway.get("/metrics").await;
    gateway.get("/nothing").await.problem(404, "unknown-path").await;
    gateway.call(Method::TRACE.as_str(), "/nothing", "").await;
    let answer = gateway.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let text = String::from_utf8(answer.bytes().await).unwrap();
    for line in [
        "headkeeper_session_state{state=\"connected\"} 1",
        "headkeeper_session_state{state=\"suspended\"} 0",
        "headkeeper_services_followed 1",
        "headkeeper_services_without_list 0",
        "headkeeper_instances_leaving 0",
        "headkeeper_leases{state=\"registered\"} 1",
        "headkeeper_leases{state=\"registering\"} 0",
        "headkeeper_leases{state=\"replaced\"} 0",
        "headkeeper_instances_registered 1",
        "headkeeper_service_instances{service=\"ti\\\"me\"} 3",
        "headkeeper_service_instances_drained{service=\"ti\\\"me\"} 1",
        "headkeeper_service_list_stale_seconds{service=\"ti\\\"me\"} 0.0",
        "headkeeper_picks_total{service=\"ti\\\"me\",algorithm=\"round-robin\",outcome=\"picked\"} 3",
        "headkeeper_http_requests_total{method=\"GET\",path=\"/v1/services/{service}/pick\",status=\"200\"} 3",
        "headkeeper_http_requests_total{method=\"GET\",path=\"/healthz\",status=\"200\"} 1",
        "headkeeper_http_requests_total{method=\"GET\",path=\"/metrics\",status=\"200\"} 1",
        "headkeeper_http_requests_total{method=\"GET\",path=\"none\",status=\"404\"} 1",
        "headkeeper_http_requests_total{method=\"other\",path=\"none\",status=\"404\"} 1",
        "headkeeper_http_request_duration_seconds_count{path=\"/v1/services/{service}/pick\"} 3",
        "# EOF",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    zk.stop();
    gateway.becomes(service, |service| service["source"] == "stale").await;
    let text = String::from_utf8(gateway.get("/metrics").await.bytes().await).unwrap();
    assert!(text.contains("headkeeper_session_state{state=\"suspended\"} 1"), "{text}");
    assert!(text.contains("headkeeper_leases{state=\"registering\"} 1"), "{text}");
}

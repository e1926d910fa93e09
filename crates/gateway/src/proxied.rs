//! What Prometheus is told of the proxy.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use crate::metrics::{gauges, whole};
use crate::proxy::{BOUNDS, Figures, Latencies, Outcome, Proxy, Served};

/// What became of requests to the services that rules name now, asked for whenever Prometheus asks.
#[derive(Debug)]
pub(crate) struct Proxied(pub(crate) Proxy);

impl Collector for Proxied {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let served = self.0.served();
        requests(&mut encoder, &served, self.0.unmatched())?;
        latencies(&mut encoder, &served)?;
        retries(&mut encoder, &served)?;

        let in_flight: fn(&Served) -> i64 =
            |service| i64::try_from(service.figures.in_flight()).unwrap_or(i64::MAX);
        let ejected: fn(&Served) -> i64 = |service| whole(service.ejected);
        let idle: fn(&Served) -> i64 = |service| whole(service.idle_connections);
        for (name, help, value) in [
            ("proxy_requests_in_flight", "Requests that wait for the head of their answer", in_flight),
            ("proxy_instances_ejected", "Instances that are left out because they failed too often", ejected),
            ("proxy_idle_connections", "Connections to instances that are kept while nobody uses them", idle),
        ] {
            let values = served.iter().map(|served| ([("service", served.service.as_str())], value(served)));
            gauges(&mut encoder, name, help, values)?;
        }
        let help = "Services without a list that new rules wait for, while those of before stay in place";
        gauges(&mut encoder, "proxy_services_awaited", help, [([], whole(self.0.awaited().len()))])
    }
}

fn requests(encoder: &mut DescriptorEncoder<'_>, served: &[Served], unmatched: &Figures) -> fmt::Result {
    let help = "Requests by how they ended; without a service those that no rule is for, or that were refused before one was looked for";
    let mut family = encoder.encode_descriptor("proxy_requests", help, None, MetricType::Counter)?;
    for outcome in Outcome::ALL {
        // Without a rule there is no service.
        for service in served.iter().filter(|_| outcome != Outcome::NoRule) {
            let labels = [("service", service.service.as_str()), ("outcome", outcome.as_str())];
            ConstCounter::new(service.figures.ended(outcome)).encode(family.encode_family(&labels)?)?;
        }
        // Of others there are none without a service.
        if matches!(outcome, Outcome::Refused | Outcome::NoRule) {
            let labels = [("outcome", outcome.as_str())];
            ConstCounter::new(unmatched.ended(outcome)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn retries(encoder: &mut DescriptorEncoder<'_>, served: &[Served]) -> fmt::Result {
    let made: fn(&Figures) -> u64 = Figures::retries;
    for (name, help, value) in [
        ("proxy_retries", "How often a request was sent once more", made),
        (
            "proxy_retries_withheld",
            "How often a request was not sent once more because too many were",
            Figures::withheld_retries,
        ),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for service in served {
            let labels = [("service", service.service.as_str())];
            ConstCounter::new(value(&service.figures)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn latencies(encoder: &mut DescriptorEncoder<'_>, served: &[Served]) -> fmt::Result {
    let help = "How long it took until an answer began";
    let mut family = encoder.encode_descriptor(
        "proxy_request_duration",
        help,
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for service in served {
        let labels = [("service", service.service.as_str())];
        histogram(family.encode_family(&labels)?, &service.figures.latencies())?;
    }
    Ok(())
}

fn histogram(mut encoder: MetricEncoder<'_>, latencies: &Latencies) -> fmt::Result {
    let Latencies { buckets, sum } = latencies;
    let bounds = BOUNDS.iter().map(|millis| *millis as f64 / 1_000.0).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(buckets.iter().copied()).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
}

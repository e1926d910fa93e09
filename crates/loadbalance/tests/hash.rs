//! The same instance for the same key.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use common::{candidates, instance, listed, number, number_of, picker, request};
use loadbalance::{Balancer, Hash, Instance, Key, KeyKind, Name, PickError, Picker, Request};
use proptest::collection::vec;
use proptest::prelude::*;

/// The owners of that many keys.
fn owners(list: impl IntoIterator<Item = Instance>, keys: usize) -> Vec<String> {
    let balancer = Balancer::fixed(list, Hash::by_key());
    let mut handle = balancer.handle();
    (0..keys)
        .map(|key| handle.choose(&Request::keyed(&key.to_le_bytes())).unwrap().id().to_string())
        .collect()
}

/// How many keys each has, and how many there are.
fn held(picker: &dyn Picker, many: usize, keys: usize) -> Vec<f64> {
    let mut had = vec![0.0; many];
    for key in 0..keys {
        had[picker.pick(&Request::keyed(&key.to_le_bytes())).unwrap()] += 1.0;
    }
    had
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_key_belongs_to_the_same_one_in_any_order_of_the_list(
        list in vec(1..=40u32, 1..=60)
            .prop_map(|weights| listed(&weights))
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
    ) {
        prop_assert_eq!(owners(list.0, 300), owners(list.1, 300));
    }

    #[test]
    fn when_one_leaves_only_its_own_keys_move(
        (many, weight) in (2..=100usize, 1..=u32::MAX), leaves in any::<prop::sample::Index>(),
    ) {
        let list = listed(&vec![weight; many]);
        let leaves = list[leaves.index(many)].id.clone();
        let before = owners(list.clone(), 2_000);
        let after = owners(list.into_iter().filter(|it| it.id != leaves), 2_000);
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before == after || *before == leaves.as_str(), "from {} to {}", before, after);
            prop_assert!(*after != leaves.as_str());
        }
    }

    #[test]
    fn when_one_comes_keys_move_only_to_it(
        (many, weight) in (1..=100usize, 1..=u32::MAX), comes in any::<prop::sample::Index>(),
    ) {
        let all = listed(&vec![weight; many + 1]);
        let comes = all[comes.index(many + 1)].id.clone();
        let before = owners(all.iter().filter(|it| it.id != comes).cloned(), 2_000);
        let after = owners(all, 2_000);
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before == after || *after == comes.as_str(), "from {} to {}", before, after);
        }
    }

    /// The mean of the weights stays between 513 and 1,024, and so does the scale.
    #[test]
    fn when_a_weight_changes_keys_move_only_to_or_from_the_one_that_has_it(
        weights in vec(600..=900u32, 20..=60), changes in any::<prop::sample::Index>(), to in 0..=2_000u32,
    ) {
        let changes = changes.index(weights.len());
        let mut other = weights.clone();
        other[changes] = to;
        let (before, after) = (owners(listed(&weights), 2_000), owners(listed(&other), 2_000));
        let id = number(changes, 1).id.to_string();
        for (before, after) in before.iter().zip(&after) {
            let rightly = if to > weights[changes] { *after == id } else { *before == id };
            prop_assert!(before == after || rightly, "from {} to {}", before, after);
        }
    }
}

#[test]
fn of_100_that_lose_one_no_key_moves_that_does_not_have_to() {
    let list = listed(&[1; 100]);
    let before = owners(list.clone(), 100_000);
    for leaves in [0, 1, 50, 99] {
        let after = owners(list.iter().filter(|it| number_of(&it.id) != leaves).cloned(), 100_000);
        let gone = list[leaves].id.as_str();
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        let needless = moved.clone().filter(|(before, _)| *before != gone).count();
        assert_eq!(needless, 0);
        // What it had goes to many others, not to one.
        let mut to = HashMap::new();
        moved.for_each(|(_, after)| *to.entry(after).or_insert(0) += 1);
        let (moved, most) = (to.values().sum::<i32>(), *to.values().max().unwrap());
        assert!((900..1_100).contains(&moved), "{moved}");
        assert!(to.len() > 90 && most < 40, "to {}, of which one gets {most}", to.len());
    }
}

#[test]
fn a_key_belongs_to_the_same_one_after_any_number_of_other_lists() {
    let balancer = Balancer::fixed(listed(&[3; 20]), Hash::by_key());
    let placed = || -> Vec<_> {
        (0..500u32)
            .map(|key| balancer.pick(&Request::keyed(&key.to_le_bytes())).unwrap().id.clone())
            .collect()
    };
    let before = placed();
    for other in [listed(&[3; 10]), listed(&[1, 9]), vec![], listed(&[0; 20]), listed(&[7; 300])] {
        balancer.replace(other);
    }
    // What instances say about themselves does not count, but for the weight.
    let changed = listed(&[3; 20]).into_iter().map(|mut it| {
        it.data = it.data.clone().with_metadata("zone", it.id.as_str()).with_code("another");
        it
    });
    balancer.replace(changed);
    assert_eq!(placed(), before);
    // Who is drained is not there.
    balancer.replace(listed(&[[3; 20].as_slice(), &[0; 7]].concat()));
    assert_eq!(placed(), before);
}

#[test]
fn a_client_is_its_address_whatever_its_port_and_however_it_is_written() {
    let balancer = Balancer::fixed(listed(&[1; 50]), Hash::by_client());
    let owner = |request: Request<'_>| number_of(&balancer.pick(&request).unwrap().id);
    let mut owners = Vec::new();
    for number in 0..500u32 {
        let address = Ipv4Addr::from(0x0a00_0000 + number * 7_919);
        let owned = owner(Request::client(address));
        for port in [0, 1, 80, 65_535] {
            assert_eq!(owner(Request::client(SocketAddr::from((address, port)))), owned);
            assert_eq!(owner(Request::client(SocketAddr::from((address.to_ipv6_mapped(), port)))), owned);
        }
        assert_eq!(owner(Request::client(IpAddr::from(address))), owned);
        assert_eq!(owner(Request::client(address.to_ipv6_mapped())), owned);
        assert_eq!(owner(Request::client(IpAddr::from(address.to_ipv6_mapped()))), owned);
        assert_eq!(owner(Request::with_key(KeyKind::Client.parse(&address.to_string()).unwrap())), owned);
        let written = format!("[{}]:443", address.to_ipv6_mapped());
        assert_eq!(owner(Request::with_key(KeyKind::Client.parse(&written).unwrap())), owned);

        let address = Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(number));
        let owned = owner(Request::client(address));
        for port in [1, 443] {
            assert_eq!(owner(Request::client(SocketAddr::from((address, port)))), owned);
        }
        owners.push(owned);
    }
    // 500 addresses that differ at their end only are spread all the same: each of 50 has none with a chance of e^-10.
    owners.sort_unstable();
    owners.dedup();
    assert!(owners.len() >= 48, "{}", owners.len());
}

#[test]
fn a_url_is_taken_as_it_is() {
    // Two keys that have the same owner in one list by chance hardly have it in the other.
    let balancers = [0, 1_000]
        .map(|first| Balancer::fixed((first..first + 1_000).map(|index| number(index, 1)), Hash::by_url()));
    let owner = |url: &str| {
        balancers.each_ref().map(|balancer| number_of(&balancer.pick(&Request::url(url)).unwrap().id))
    };
    let urls = ["/a", "/a/", "/a?", "/a?b=1", "/a?b=2", "/A", "/%61", "/ä", "/a%CC%88", "/", ""];
    let owners: HashMap<_, _> = urls.iter().map(|url| (owner(url), url)).collect();
    assert_eq!(owners.len(), urls.len(), "{owners:?}");
}

#[test]
fn a_request_without_the_right_key_is_told_which_one_it_needs() {
    let all =
        [Request::client(Ipv4Addr::LOCALHOST), Request::url("/a"), Request::keyed("a"), Request::default()];
    for (hash, needs) in [
        (Hash::by_client(), KeyKind::Client),
        (Hash::by_url(), KeyKind::Url),
        (Hash::by_key(), KeyKind::Bytes),
    ] {
        let balancer = Balancer::fixed(listed(&[1, 1]), hash);
        for request in &all {
            let has = request.key().map(|key| key.kind());
            let picked = balancer.pick(request);
            if has == Some(needs) {
                assert!(picked.is_ok());
                continue;
            }
            let error = picked.unwrap_err();
            let PickError::KeyMissing { algorithm, needs: said, has: had } = &error else {
                panic!("{error}")
            };
            assert_eq!((algorithm.as_str(), *said, *had), (loadbalance::Algorithm::name(&hash), needs, has));
            assert!(error.to_string().contains(&needs.to_string()), "{error}");
            assert_eq!(balancer.handle().choose(request).unwrap_err(), error);
        }
    }
}

#[test]
fn kinds_of_keys_are_hashed_alike_by_their_bytes() {
    for (name, key) in
        [(Name::IpHash, Key::Client([97, 98, 99, 100].into())), (Name::UrlHash, Key::Url("abcd"))]
    {
        let owner = picker(&*name.algorithm(), &[1; 100]).pick(&Request::with_key(key));
        assert_eq!(owner, picker(&Hash::by_key(), &[1; 100]).pick(&Request::keyed("abcd")));
    }
}

/// Hashing is the same everywhere, so this is no matter of chance.
#[test]
fn nobody_has_many_more_keys_than_the_mean() {
    let had = held(&*picker(&Hash::by_key(), &[1; 100]), 100, 1_000_000);
    let (most, least) =
        (had.iter().copied().fold(0.0, f64::max), had.iter().copied().fold(f64::MAX, f64::min));
    assert!(most / 10_000.0 <= 1.10, "{most}");
    assert!(least / 10_000.0 >= 0.90, "{least}");
}

#[test]
fn keys_are_in_proportion_to_weights() {
    for (weights, percent) in [
        (vec![1, 2, 3, 4, 5, 10], 15.0),
        ((1..=30).collect::<Vec<u32>>(), 30.0),
        (vec![100, 200, 100, 400, 200, 100, 300, 100, 100, 100], 15.0),
    ] {
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let picker = picker(&Hash::by_key(), &weights);
        let keys = 400_000;
        let had = held(&*picker, weights.len(), keys);
        let shares = picker.shares().unwrap();
        for (index, had) in had.iter().enumerate() {
            let part = keys as f64 * f64::from(weights[index]) / total;
            assert!(
                (had / part - 1.0).abs() * 100.0 <= percent,
                "{index} of {weights:?} has {had}, not {part}"
            );
            // And what it says that it has is what it has.
            assert!((had - shares[index] * keys as f64).abs() <= 6.0 * part.sqrt(), "{index}: {had}");
        }
    }
}

#[test]
fn a_request_for_another_instance_goes_to_the_same_one_in_every_process() {
    let list = listed(&[1, 1, 1, 1, 2, 2, 3, 9]);
    let mut shuffled = list.clone();
    shuffled.reverse();
    shuffled.swap(1, 5);
    let balancers = [list.clone(), list.clone(), shuffled].map(|list| Balancer::fixed(list, Hash::by_key()));
    for key in 0..300u32 {
        let key = key.to_le_bytes();
        let mut orders = balancers.each_ref().map(|balancer| {
            let mut tried = HashSet::new();
            let mut order = Vec::new();
            while let Ok(picked) = balancer.pick(&Request::keyed(&key).tried(&tried)) {
                tried.insert(picked.id.clone());
                order.push(number_of(&picked.id));
            }
            order
        });
        let expected = orders[0].clone();
        assert_eq!(expected.len(), list.len());
        for order in &mut orders {
            assert_eq!(*order, expected, "key {key:?}");
        }
    }
}

/// Where a request goes that was tried somewhere is where it would go at once if that one left.
#[test]
fn another_try_goes_where_the_key_would_be_if_those_tried_were_gone() {
    for weights in [vec![1; 5], vec![1; 40], vec![5, 1, 1, 3, 2, 7], vec![2; 300]] {
        let list = listed(&weights);
        let balancer = Balancer::fixed(list.clone(), Hash::by_key());
        for gone in [1, 2, weights.len() - 2] {
            let tried: HashSet<_> = list[..gone].iter().map(|it| it.id.clone()).collect();
            // The same scale: equal weights, and a mean that stays between the same powers of two.
            let left = Balancer::fixed(list[gone..].to_vec(), Hash::by_key());
            let same_scale = weights.iter().all(|weight| *weight == weights[0]);
            for key in 0..500u32 {
                let request_bytes = key.to_le_bytes();
                let request = Request::keyed(&request_bytes);
                let again = balancer.pick(&request.tried(&tried)).unwrap();
                assert!(!tried.contains(&again.id));
                if same_scale {
                    assert_eq!(again.id, left.pick(&request).unwrap().id, "{gone} of {} gone", weights.len());
                }
            }
        }
    }
}

#[test]
fn keys_of_one_that_was_tried_are_spread_over_all_others() {
    let many = 20;
    let balancer = Balancer::fixed(listed(&vec![1; many]), Hash::by_key());
    for first in 0..3 {
        let tried = HashSet::from([number(first, 1).id]);
        let mut second = vec![0; many];
        let mut keys = 0;
        for key in 0..100_000u32 {
            let key = key.to_le_bytes();
            let own = number_of(&balancer.pick(&Request::keyed(&key)).unwrap().id);
            let again = number_of(&balancer.pick(&Request::keyed(&key).tried(&tried)).unwrap().id);
            if own == first {
                keys += 1;
                second[again] += 1;
            } else {
                assert_eq!(again, own, "whose own instance was not tried stays there");
            }
        }
        assert_eq!(second[first], 0);
        let mean = keys / (many - 1);
        for (index, had) in second.iter().enumerate().filter(|(index, _)| *index != first) {
            assert!((mean / 2..=mean * 2).contains(had), "{index} has {had} of {keys}, mean {mean}");
        }
    }
}

/// Of 10,000, whose places are kept in another form than those of a few.
#[test]
fn of_10_000_that_lose_some_no_key_moves_that_does_not_have_to() {
    let list = listed(&[4; 10_000]);
    let before = owners(list.clone(), 200_000);
    let after = owners(list.into_iter().filter(|it| number_of(&it.id) % 10 != 7), 200_000);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    let needless = moved.clone().filter(|(before, _)| !before.ends_with('7')).count();
    assert_eq!(needless, 0);
    assert!((19_000..21_000).contains(&moved.count()));
}

#[test]
fn the_order_of_those_who_are_asked_for_again_does_not_hang_on_names_of_kinds() {
    // The same list as candidates of a picker: the place in the list is what is named.
    let list = candidates(&[1; 10]);
    let picker = loadbalance::Algorithm::picker(&Hash::by_client(), list.clone());
    let balancer = Balancer::fixed(listed(&[1; 10]), Hash::by_client());
    for number in 0..100 {
        let request = request(Name::IpHash, number);
        assert_eq!(list[picker.pick(&request).unwrap()].id(), &balancer.pick(&request).unwrap().id);
    }
    let one = Balancer::fixed([instance("only", 1)], Hash::by_client());
    assert_eq!(one.pick(&request(Name::IpHash, 1)).unwrap().id.as_str(), "only");
}

/// How places are kept hangs on how many there are; whose a key is does not.
#[test]
fn when_many_come_keys_move_only_to_them() {
    let keys = 300_000;
    let mut before = vec![0; keys];
    for many in [1, 2, 3, 5, 9, 20, 40, 150, 700] {
        let picker = picker(&Hash::by_key(), &vec![1; many]);
        let first_new = before.iter().max().unwrap() + 1;
        for (key, owner) in before.iter_mut().enumerate() {
            let now = picker.pick(&Request::keyed(&key.to_le_bytes())).unwrap();
            assert!(now == *owner || now >= first_new, "key {key} went from {owner} to {now} of {many}");
            *owner = now;
        }
    }
}

/// Where nobody is left a request is refused at once, not after a look at each of millions of points.
#[test]
fn that_everybody_was_tried_is_said_without_going_round_the_circle() {
    let list = listed(&[1; 4_000]);
    let tried: HashSet<_> = list.iter().map(|it| it.id.clone()).collect();
    let balancer = Balancer::fixed(list, Hash::by_key());
    for key in 0..300u32 {
        let error = balancer.pick(&Request::keyed(&key.to_le_bytes()).tried(&tried)).unwrap_err();
        assert_eq!(error, PickError::Tried { candidates: 4_000 });
    }
}

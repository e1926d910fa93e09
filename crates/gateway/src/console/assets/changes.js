// What is different between two states of a service.

/** Whether two instances say the same of themselves. */
export function same(a, b) {
  return (
    a.weight === b.weight &&
    a.server_ip === b.server_ip &&
    a.server_port === b.server_port &&
    a.server_unique_code === b.server_unique_code &&
    a.registered_at === b.registered_at &&
    sameMetadata(a.metadata, b.metadata)
  );
}

function sameMetadata(a, b) {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

/**
 * What happened to instances, from the rows of before (a Map by id) and the instances of now: a list of
 * { kind: 'came' | 'went' | 'weight' | 'data', id, was, is }.
 */
export function ofInstances(before, instances) {
  const changes = [];
  let stayed = 0;
  for (const instance of instances) {
    const row = before.get(instance.id);
    if (row === undefined) {
      changes.push({ kind: 'came', id: instance.id, is: instance });
      continue;
    }
    stayed += 1;
    const was = row.instance;
    if (same(was, instance)) continue;
    const kind = was.weight === instance.weight ? 'data' : 'weight';
    changes.push({ kind, id: instance.id, was, is: instance });
  }
  if (stayed === before.size) return changes;
  const there = new Set(instances.map((instance) => instance.id));
  for (const [id, row] of before) {
    if (!there.has(id)) changes.push({ kind: 'went', id, was: row.instance });
  }
  return changes;
}

/** What happened at the head and to the list as a whole: { kind: 'master' | 'no-master' | 'source', … }. */
export function ofService(before, now) {
  const changes = [];
  const term = (service) => service.master?.term;
  // Who led all the time and is only heard of now is no news.
  if (before.master_source !== 'unknown' && term(before) !== term(now)) {
    changes.push(
      now.master === null
        ? { kind: 'no-master', was: before.master }
        : { kind: 'master', was: before.master, is: now.master },
    );
  }
  if (before.source !== now.source) changes.push({ kind: 'source', is: now.source, since: now.stale_since });
  return changes;
}

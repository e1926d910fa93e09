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

/**
 * What happened at the head and to the list as a whole: { kind: 'master' | 'no-master' | 'source', … }. `led` is who led when that was known
 * the last time: null for nobody, undefined while it never was.
 */
export function ofService(before, now, led) {
  const changes = [];
  // Who led all the time and is only heard of now is no news, and that it is not known tells nothing of who leads.
  if (led !== undefined && knowsMaster(now) && led?.term !== now.master?.term) {
    changes.push(now.master === null ? { kind: 'no-master', was: led } : { kind: 'master', was: led, is: now.master });
  }
  if (before.source !== now.source) changes.push({ kind: 'source', is: now.source, since: now.stale_since });
  return changes;
}

/** Whether a state tells who leads, be it nobody. */
export function knowsMaster({ master_source: source }) {
  return source !== 'unknown';
}

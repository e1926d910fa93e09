// Numbers and times as people read them.

const whole = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** Said wherever shares by weight are: who picks by default does not look at weights. */
export const ALIKE = 'round-robin takes all alike';

/** A whole number: 10,000. */
export function count(number) {
  return whole.format(number);
}

/** A number where there is little room: 10K. */
export function brief(number) {
  return Math.abs(number) < 100000 ? whole.format(number) : compact.format(number);
}

/** So many of something: 1 instance, 2 instances. */
export function soMany(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A part of the whole: 12.5 %. */
export function percent(part) {
  if (!(part > 0)) return '0 %';
  if (part < 0.0001) return '< 0.01 %';
  const digits = part >= 0.1 ? 1 : 2;
  return `${(part * 100).toFixed(digits)} %`;
}

/** A time of the day: 09:04:31. */
export function clock(at) {
  const date = new Date(at);
  const two = (number) => String(number).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A day and a time. */
export function moment(at) {
  const date = new Date(at);
  const two = (number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at)}`;
}

/** How long something takes or took: 5 s, 3 min, 2 h, 4 d. */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  if (hours < 48) return `${hours} h`;
  return `${count(Math.round(hours / 24))} d`;
}

/** When something was: lately as a time, before as a day, too. */
export function when(at) {
  return Date.now() - at < 12 * 3600 * 1000 ? clock(at) : moment(at);
}

/** Host and port as one writes them; nothing where there is none. */
export function address(data) {
  if (data.server_ip === undefined) return '';
  const host = data.server_ip.includes(':') ? `[${data.server_ip}]` : data.server_ip;
  return `${host}:${data.server_port}`;
}

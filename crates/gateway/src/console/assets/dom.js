// Elements of the page. Whatever comes from outside becomes text here, never HTML.

/** The element with this id, which the page has. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element: its attributes, and what is in it (elements, or text). */
export function element(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) {
      made.setAttribute(key, value === true ? '' : String(value));
    }
  }
  made.append(...content.filter((part) => part !== undefined && part !== null));
  return made;
}

/** Says something at a place, and leaves it alone when it says that already. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Shows or hides something. */
export function show(place, shown) {
  if (place.hidden === shown) place.hidden = !shown;
}

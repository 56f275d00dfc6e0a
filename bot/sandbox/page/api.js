// Talking to the server: one call for each thing a person does, and one stream of changes.

export class Refused extends Error {}

// A network that fails has a code like any other failure.
function reached(promise) {
  return promise.catch(() => { throw new Refused("offline"); });
}

export async function act(name, user, details = {}) {
  const answer = await reached(fetch(`/people/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user, ...details }),
  }));
  const body = await answer.json().catch(() => ({ ok: false, error: `HTTP ${answer.status}` }));
  if (!body.ok) throw new Refused(body.error);
  return body.result;
}

export async function load(user) {
  const answer = await reached(fetch(`/people/state?user=${encodeURIComponent(user)}`));
  if (!answer.ok) throw new Refused(`HTTP ${answer.status}`);
  return answer.json();
}

// Calls `changed` for each change and `again` when the stream was interrupted and is back.
export function listen(user, changed, again, broken) {
  const source = new EventSource(`/people/stream?user=${encodeURIComponent(user)}`);
  let opened = false;
  const ready = new Promise((resolve, reject) => {
    source.addEventListener("open", () => {
      if (opened) again();
      opened = true;
      resolve();
    });
    // A browser asks again after a failure of the network, but not where the server said no.
    source.addEventListener("error", () => source.readyState === EventSource.CLOSED && reject(new Refused("user_not_found")));
  });
  source.addEventListener("message", (event) => changed(JSON.parse(event.data)));
  source.addEventListener("error", broken);
  return { ready, close: () => source.close() };
}

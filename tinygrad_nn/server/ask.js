// Requests of a page to its own server. Token and session are taken from the URL of the page.
const server = (() => {
  const own = new URLSearchParams(location.search), token = own.get("token"), session = own.get("session");
  const address = path => `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams({ session })}`;

  // Send an object and return the answer; throws an Error with the server's message if it is refused.
  async function ask(path, body = {}) {
    let reply;
    try {
      reply = await fetch(address(path), {
        method: "POST", headers: { "Content-Type": "application/json", "X-Token": token }, body: JSON.stringify(body),
      });
    } catch {
      throw new Error("the server has stopped; start it again in its terminal");
    }
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.error);
    return answer;
  }

  // Call a function with each event of a GET; the browser reconnects by itself. Close the result to stop.
  function listen(path, each) {
    const source = new EventSource(`${address(path)}&${new URLSearchParams({ token })}`);
    source.addEventListener("message", event => each(JSON.parse(event.data)));
    return source;
  }

  // The URL of a GET whose result the browser saves as a file.
  const download = path => `${address(path)}&${new URLSearchParams({ token })}`;
  return { ask, listen, download, session };
})();

// How a page asks the server it came from. The token and the session stand in the page's own URL.
const server = (() => {
  const own = new URLSearchParams(location.search), token = own.get("token"), session = own.get("session");
  const address = path => `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams({ session })}`;

  // Send an object, get one; an Error with the server's words where it refuses.
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

  // Call a function with each event of a GET; the browser connects again by itself. Close the result to stop.
  function listen(path, each) {
    const source = new EventSource(`${address(path)}&${new URLSearchParams({ token })}`);
    source.addEventListener("message", event => each(JSON.parse(event.data)));
    return source;
  }

  // The address of a GET that the browser saves as a file.
  const download = path => `${address(path)}&${new URLSearchParams({ token })}`;
  return { ask, listen, download, session };
})();

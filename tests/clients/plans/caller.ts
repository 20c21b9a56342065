// Whoever calls: the base URL, and how the gateway knows them. GATEWAY, and TOKEN or COOKIE.
const { GATEWAY, TOKEN, COOKIE } = process.env;
const plainFetch = globalThis.fetch;

export const cookies = new Map<string, string>(); // that a browser would keep

/** Call as a page of the gateway's own origin does, with a token where there is one, else with the browser's cookies. */
export async function call(path: string, init: RequestInit = {}, token: string | undefined = TOKEN) {
  const headers = new Headers(init.headers);
  headers.set("sec-fetch-site", "same-origin");
  if (token) {
    headers.delete("sec-fetch-site"); // such a call may come from anywhere
    headers.set("authorization", `Bearer ${token}`);
  } else headers.set("cookie", [...(COOKIE ? [COOKIE] : []), ...[...cookies].map((pair) => pair.join("="))].join("; "));
  const response = await plainFetch(`${GATEWAY}${path}`, { ...init, headers });
  for (const kept of token ? [] : response.headers.getSetCookie()) {
    const [name, value] = kept.split(";")[0].split("=");
    cookies.set(name, value);
  }
  return response;
}

export async function json(path: string, init: RequestInit = {}, token: string | undefined = TOKEN) {
  const response = await call(path, init, token);
  const body = await response.json();
  if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return body;
}

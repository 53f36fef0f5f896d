//! Strings under outside influence. Each is a valid key of an event.

/// Attacks on statements, patterns, paths, log lines and terminals.
pub const KEYS: [&str; 14] = [
    "'; DROP TABLE outbox_events; --",
    "\" OR 1 = 1 --",
    "x' OR user_id <> '",
    "%",
    "_",
    "?1",
    ":user",
    "NULL",
    "0",
    " leading and trailing ",
    "ünïcödé \u{1f4a5} e\u{301}",
    "\u{202e}desrever\u{202c}",
    "<script>alert(1)</script>",
    "${jndi:ldap://127.0.0.1/}",
];

/// Attacks on browsers, templates and addresses. A script in one of them calls `alert`.
pub const MARKUP: [&str; 24] = [
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "\" onmouseover=\"alert(1)\" autofocus onfocus=\"alert(1)\" x=\"",
    "' autofocus onfocus=alert(1) x='",
    "x onclick=alert(1) autofocus",
    "javascript:alert(1)",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<base href=\"http://elsewhere.test/\">",
    "<meta http-equiv=\"refresh\" content=\"0;url=http://elsewhere.test/\">",
    "<form action=\"http://elsewhere.test/\"><input name=\"token\">",
    "<style>*{display:none}</style>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &quot; &#39; &amp;",
    "{{constructor.constructor('alert(1)')()}}",
    "{% include \"/etc/passwd\" %}{{ 7 * 7 }}",
    "..",
    "%2e%2e%2f&state=dead#top",
    "a+b c%20d?e=f&g=\u{2028}",
    "//elsewhere.test/\\@127.0.0.1",
];

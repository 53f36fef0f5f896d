//! The web console in a headless Chromium.

mod access; // token, cookies, hosts, forms of other sites
mod accessibility; // WCAG 2.2, light and dark
mod actions; // retry, discard and pause, with the number first
mod checks; // what holds for every page
mod hostile; // strings that attack a browser
mod keyboard; // everything without a mouse
mod live; // updates while a page is open
mod navigation; // a path prefix, and the history of the browser
mod screens; // what each screen shows
mod screenshots; // the pictures of the documentation

"""Which of the two looks the browser shows, also after its user has switched."""

import streamlit as st

from saturation.figures import LIGHT, THEMES, Theme

# Streamlit draws its own widgets anew on a switch but does not run the page, so figures would keep the old colours.
_WATCH = """
export default function ({ setTriggerValue }) {
  const app = document.querySelector('[data-testid="stApp"]');
  const colour = () => getComputedStyle(app).backgroundColor;
  let seen = colour();
  const timer = setInterval(() => {
    const now = colour();
    if (now !== seen) { seen = now; setTriggerValue('changed', now); }
  }, 400);
  return () => clearInterval(timer);
}
"""
_watcher = st.components.v2.component("saturation_look", js=_WATCH)


def theme() -> Theme:
    """The figures' theme that goes with the browser's."""
    return THEMES.get(st.context.theme.type or "light", LIGHT)


def watch() -> None:
    """Run the page again when the browser's theme changes."""
    _watcher(key="look", on_changed_change=lambda: None, height="content")

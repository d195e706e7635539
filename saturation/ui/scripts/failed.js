// Tells the script when the file of a download button could not be made. The sentence that streamlit writes under the
// button for five seconds gives no reason, and gives way to the one that does.
export default function ({ setTriggerValue }) {
  const seen = new WeakSet();
  const look = () => {
    for (const note of document.querySelectorAll('[data-testid="stDownloadButtonError"]')) {
      if (seen.has(note)) continue;
      seen.add(note);
      note.style.display = 'none';
      setTriggerValue('failed', Date.now());
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, { childList: true, subtree: true });
  return () => observer.disconnect();
}

"""The dashboard: the only library folder that imports streamlit. Pages stay thin: controls -> query -> figure."""

"""A page in the browser: one scan in, its segmentation seen. Only `page`, `app` and `server` need Streamlit."""

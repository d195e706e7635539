"""Method: what does it mean?"""

import streamlit as st

from saturation.ui import method
from saturation.ui.frame import open_page
from saturation.ui.pages import METHOD

open_page(METHOD)
method.listing(st.query_params.get("entry"))

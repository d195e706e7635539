# The dashboard in a container: a read-only demonstration unless SATURATION_MODE says otherwise. See deploy/README.md.
#   docker build -t saturation .
#   docker run -p 8501:8501 -v saturation:/data saturation
FROM python:3.11-slim

# deploy/demo/requirements.txt leaves torch and transformers out: a smaller image, for demonstrations alone.
ARG REQUIREMENTS=requirements.txt

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HOME=/home/saturation \
    HF_HOME=/data/huggingface \
    SATURATION_CACHE=/data/saturation \
    SATURATION_MODE=demo \
    PORT=8501

RUN useradd --create-home --uid 1000 saturation \
    && mkdir /data \
    && chown saturation /data

WORKDIR /app
COPY requirements.txt ./
COPY deploy/demo/requirements.txt deploy/demo/
# On Linux the package index has torch with CUDA: it comes from its CPU index first, and is there when the rest comes.
RUN if grep -q '^torch==' "$REQUIREMENTS"; then \
        pip install "$(grep '^torch==' "$REQUIREMENTS")" --index-url https://download.pytorch.org/whl/cpu; \
    fi \
    && pip install --requirement "$REQUIREMENTS"

COPY app.py LICENSE ./
COPY .streamlit .streamlit
COPY pages pages
COPY saturation saturation
COPY cache/packs cache/packs
COPY cache/checkpoints cache/checkpoints
# The user below may not write here, so nothing would be compiled later.
RUN python -m compileall -q saturation pages app.py

USER saturation
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, sys, urllib.request as u; sys.exit(u.urlopen(f'http://localhost:{os.environ[\"PORT\"]}/_stcore/health', timeout=4).read() != b'ok')"]
CMD ["sh", "-c", "exec python -m saturation serve --address 0.0.0.0 --port \"$PORT\""]

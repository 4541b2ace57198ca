# Serves a packaged model with the packages of requirements-serve.lock.
#     make package TARGET=petals
#     docker build -f dockerfiles/api.dockerfile --build-arg TARGET=petals -t bitbloom-api .
#     docker run --rm --read-only --tmpfs /tmp --publish 127.0.0.1:3000:3000 bitbloom-api
# `make containerize` lets BentoML build the image, and labels it with the digests of data, lock, model and Bento.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
# Optional: certificates of a proxy.
ARG PIP_CERT
COPY requirements-serve.lock /srv/
RUN python3 -m venv /srv/venv \
    && /srv/venv/bin/pip install --quiet --no-cache-dir --require-hashes --no-deps -r /srv/requirements-serve.lock
ARG TARGET=petals
COPY dist/${TARGET}.bento /srv/model.tar.xz
RUN python3 -m tarfile --extract /srv/model.tar.xz /srv/bento
# A container writes to /tmp only.
ENV PATH=/srv/venv/bin:${PATH} HOME=/tmp BENTOML_HOME=/tmp/bentoml BENTOML_DO_NOT_TRACK=True
USER 1034:1034
EXPOSE 3000
CMD ["bentoml", "serve", "/srv/bento", "--host", "0.0.0.0", "--port", "3000"]

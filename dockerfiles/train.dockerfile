# Trains a target with the packages of requirements.lock.
#     docker build -f dockerfiles/train.dockerfile -t bitbloom-train .
#     docker run --name train bitbloom-train TARGET=petals-tiny
#     docker cp train:/opt/bitbloom/models .
#     docker rm train
# A mounted folder would have to belong to user 1034.
# `make training-image` makes an image of a commit, with equal ids twice.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
RUN command -v git >/dev/null && command -v make >/dev/null || \
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*; }
RUN useradd --create-home --uid 1034 bitbloom && install -d -o 1034 -g 1034 /opt/bitbloom
USER 1034:1034
WORKDIR /opt/bitbloom
COPY --chown=1034:1034 . .
# Optional: certificates of a proxy, and a mounted folder that has the CPU build of torch.
ARG PIP_CERT SSL_CERT_FILE UV_FIND_LINKS
RUN UV_NO_CACHE=1 make setup
ENV PATH=/opt/bitbloom/.venv/bin:${PATH} BITBLOOM_TRACK=0
ENTRYPOINT ["make", "train"]
CMD ["TARGET=petals"]

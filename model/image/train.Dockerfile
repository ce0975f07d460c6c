# Trains a model on LibreOffice's help, as Debian packages it, and outputs the artifact; Dockerfile makes an image of it.
# From the root of the repository:
#   docker build -f model/image/train.Dockerfile --output build/models/doc2vec-model-it .
#   docker build -f model/image/train.Dockerfile --output build/models/doc2vec-model-en \
#     --build-arg HELP_LANGUAGE=en-us --build-arg NAME=doc2vec-model-en .
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS train
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/build.lock requirements/train.lock requirements/
RUN python -m venv --without-pip /train \
 && pip --python /train/bin/python install --require-hashes --only-binary :all: \
      -r requirements/build.lock -r requirements/train.lock
# As at the end of the name of Debian's package.
ARG HELP_LANGUAGE=it
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends "libreoffice-help-${HELP_LANGUAGE}" \
 && rm -rf /var/lib/apt/lists/*
COPY client/examples/libreoffice_help.py client/examples/
RUN /train/bin/python client/examples/libreoffice_help.py "${HELP_LANGUAGE}" corpus.jsonl
COPY model/paravec_model model/paravec_model
RUN PYTHONPATH=model /train/bin/python -m paravec_model.kernels.build
ARG NAME=doc2vec-model-it
ARG VERSION=1.0.0
# The artifact's creation time: with it, every training gives the same bytes.
ARG SOURCE_DATE_EPOCH
RUN PYTHONPATH=model /train/bin/python -m paravec_model.cli train --jsonl corpus.jsonl --field text --tag-field page \
      --output /artifact --name "${NAME}" --model-version "${VERSION}" \
      --dm 0 --vector-size 100

FROM scratch
COPY --from=train /artifact /

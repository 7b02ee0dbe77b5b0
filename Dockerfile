# The service, with the versions of everything that the tests run with. See README, Install.
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN python -m pip wheel --quiet --no-deps --wheel-dir dist . \
    && python -m venv /opt/gql-identity \
    && /opt/gql-identity/bin/pip install --quiet --no-cache-dir --require-hashes --requirement constraints-serve.txt \
    && /opt/gql-identity/bin/pip install --quiet --no-cache-dir --no-deps dist/gql_identity-*.whl

FROM python:3.13-slim
COPY --from=build /opt/gql-identity /opt/gql-identity
RUN install --directory --owner 10001 --group 10001 --mode 700 /data
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV PATH=/opt/gql-identity/bin:$PATH \
    GQL_IDENTITY_HOST=0.0.0.0 \
    GQL_IDENTITY_DATA_DIR=/data
EXPOSE 8000
ENTRYPOINT ["gql-identity"]
CMD ["serve"]

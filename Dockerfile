# The controller's image: docker build -t aegis:test -f Dockerfile .
# The procedures' image:  docker build -t aegis-sop:0.1.0 --target aegis-sop -f Dockerfile .
#
# `make images` makes the same two without Docker; here its files are put in.
FROM rust:1.95.0-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make images
RUN scripts/unpack target/images/aegis.tar /images/aegis && scripts/unpack target/images/aegis-sop.tar /images/aegis-sop

FROM scratch AS aegis-sop
COPY --from=build /images/aegis-sop/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 65532:65532
CMD ["/bin/sh"]

# The last stage is the one that is built where none is named.
FROM scratch AS aegis
COPY --from=build /images/aegis/ /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/aegis-controller"]

# llmux in a container: built from this checkout, run by an account without rights, its files in two volumes.
#   docker build -t llmux .
#   docker run -p 127.0.0.1:8082:8082 -v ./config.toml:/etc/llmux/config.toml:ro -v llmux:/var/lib/llmux llmux
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN python -m venv /opt/llmux
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY llmux ./llmux
RUN /opt/llmux/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/llmux --shell /usr/sbin/nologin llmux \
    && install -d -o llmux -g llmux -m 0700 /var/lib/llmux \
    && install -d -o llmux -g llmux -m 0750 /etc/llmux
COPY --from=build /opt/llmux /opt/llmux
ENV PATH=/opt/llmux/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/var/lib
USER 10001:10001
WORKDIR /etc/llmux
VOLUME ["/var/lib/llmux"]
EXPOSE 8082
STOPSIGNAL SIGTERM
# Certificates are not checked here: a development one names no 127.0.0.1 that this would trust.
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, ssl, urllib.request as u; u.urlopen(os.environ.get('LLMUX_HEALTH', 'http://127.0.0.1:8082/health'), timeout=2, context=ssl._create_unverified_context())"]
ENTRYPOINT ["llmux"]
CMD ["start", "--config", "/etc/llmux/config.toml", "--host", "0.0.0.0"]

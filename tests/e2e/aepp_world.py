# SPDX-License-Identifier: Apache-2.0
"""The client library aepp, against a server of ours."""
import contextlib

import aepp


@contextlib.contextmanager
def configured(server, client):
    """aepp keeps its configuration in module globals: only the hosts are ours, and only inside."""
    saved = dict(aepp.config.endpoints)
    aepp.configure(org_id=client["org_id"], client_id=client["client_id"], secret=client["client_secret"],
                   tech_id=client["technical_account_id"], scopes="openid", sandbox="prod")
    aepp.config.endpoints["global"] = server.url
    aepp.config.config_object["oauthTokenEndpointV2"] = server.url + "/ims/token/v3"
    try:
        yield
    finally:
        aepp.config.endpoints.clear()
        aepp.config.endpoints.update(saved)

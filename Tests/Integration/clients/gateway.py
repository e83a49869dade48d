"""ThingsBoard's IoT gateway: its client, made from a configuration with a section `provisioning`.

usage: gateway.py PORT DIRECTORY < provisioning.json     prints the file in which it keeps its credentials
"""

import json
import logging
import pathlib
import sys

from thingsboard_gateway.gateway.constants import PROVISIONED_CREDENTIALS_FILENAME
from thingsboard_gateway.gateway.tb_client import TBClient

port, directory = int(sys.argv[1]), sys.argv[2] + "/"
configuration = {"host": "127.0.0.1", "port": port, "provisioning": json.load(sys.stdin)}
TBClient(configuration, directory, logging.getLogger("gateway"))
print(pathlib.Path(directory + PROVISIONED_CREDENTIALS_FILENAME).read_text())

def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=20, help="how often a run is killed")
    parser.addoption("--kill-seed", type=int, default=None, help="of the moments; default: another one each time")
